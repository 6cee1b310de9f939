"""The graph that is exported gives the scores that the trainer has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.engine.models.manifest import Manifest, read_manifest
from appliance.engine.models.session import Parallel, Session
from appliance.engine.models.store import MANIFEST, StoredModel
from appliance.engine.training.calibrate import Calibration
from appliance.engine.training.graph import write_model
from appliance.engine.training.head import Head, initial, probabilities
from tests.engine.training.recordings import request


def model_in(folder: Path) -> StoredModel:
    manifest = read_manifest(folder / MANIFEST)
    assert isinstance(manifest, Manifest)
    return StoredModel(manifest, folder)


@pytest.mark.parametrize("bias", [-40.0, -8.0, 12.0, 100.0])
def test_scores_near_0_and_1_are_the_trainers(tmp_path: Path, bias: float) -> None:
    asked = request(tmp_path, ())
    heads = []
    for seed in range(3):
        weights = initial(8, 2, np.random.default_rng(seed))
        weights["out.b"] += np.float32(bias)
        heads.append(Head(np.zeros(8, np.float32), np.full(8, 0.1, np.float32), weights))
    lines = [Calibration(0.5, -np.sign(bias) * 3.0, 0.5, 50), Calibration(1.0, 0.0, 0.5, 50)]
    base = model_in(asked.base_model)
    write_model(asked, base, heads, lines, tmp_path / "made")

    base_slot, slot = (
        Session(model, "cpu", 1, Parallel(1, 1)).slots[0] for model in (base, model_in(tmp_path / "made"))
    )
    for one in (base_slot, slot):
        one.windows[0] = 0.1 * np.random.default_rng(0).standard_normal(one.windows.shape[1:])
    features = base_slot.run(1, "energies")
    mean = np.mean([probabilities(head.logits(features).astype(np.float64)) for head in heads], axis=0)
    wanted = np.stack([line.apply(mean[..., column]) for column, line in enumerate(lines)], axis=-1)
    assert np.abs(slot.score(1)[..., -2:] - wanted).max() <= 1e-5
