"""The models that a worker, or an engine on a node, has loaded."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from appliance.config import Settings
from appliance.engine.models.store import ModelStore
from appliance.worker.scorers import Scorers


def test_an_engine_uses_the_cores_as_set_without_a_default_model(models: Path, tmp_path: Path) -> None:
    """A worker chooses when it loads its default model; an engine on a node has none."""
    settings = Settings(data_dir=tmp_path, model_store=models, scoring_calls=3, scoring_threads=1)
    with closing(Scorers(settings, lambda _, model: ModelStore(models).resolve(model), "cpu")) as scorers:
        assert scorers.detector("loud-frames").session.calls == 3
