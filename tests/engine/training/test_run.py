"""A whole training on a small model: what comes out, what is the same each time, and how it goes on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from appliance.engine.models.store import ModelStore
from appliance.engine.registration import CheckLimits, add_model
from appliance.engine.training import run
from appliance.engine.training.fit import scores_of
from appliance.engine.training.head import Head, initial
from appliance.engine.training.marks import Marked
from appliance.engine.training.request import Phase, TrainingReport, TrainingRequest
from appliance.engine.training.run import train
from appliance.errors import Stopped, TrainingRefused
from tests.engine.training.recordings import RATE_HZ, reader, recording, request


def trained(asked: TrainingRequest, workspace: Path) -> TrainingReport:
    return train(asked, workspace, lambda phase, share: None, lambda: False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingRequest, TrainingReport, list[tuple[Phase, float]]]:
    """A training that was run, its report and its progress."""
    folder = tmp_path_factory.mktemp("training")
    asked, told = request(folder), []
    report = train(asked, folder / "work", lambda phase, share: told.append((phase, share)), lambda: False)
    return asked, report, told


def test_a_detector_is_trained_that_the_store_takes(made: Any, tmp_path: Path) -> None:
    _, report, _ = made
    added = add_model(ModelStore(tmp_path / "store"), report.model, CheckLimits())
    assert added.scoring.reported_labels == ["loud", "beep", "buzz"]
    assert added.scoring.output.features == "energies"
    for row in report.report["per_label"]:
        assert row["f1"] >= 0.9
        assert row["use"] == "detector"
        assert row["held_out_groups"] >= 3


def test_the_report_tells_what_the_figures_rest_on(made: Any) -> None:
    _, report, _ = made
    split, controls = report.report["split"], report.report["controls"]
    assert split["fit"]["groups"] + split["held_out"]["groups"] == 12
    assert controls["base_scores_identical"] is True
    assert controls["graph_difference"] <= 1e-5
    assert controls["shuffled_f1"] <= 0.3
    assert report.report["sha256"] == hashlib.sha256((report.model / "model.onnx").read_bytes()).hexdigest()
    assert report.report["data_sha256"] in (report.model / "MODEL_CARD.md").read_text()
    for row in report.report["per_label"]:
        low, high = row["f1_interval"]
        assert low <= row["f1"] <= high
        assert row["false_alarms_per_hour_at_most"] > row["false_alarms_per_hour"]
        assert any("events were fitted" in warning for warning in row["warnings"])


def test_progress_goes_through_the_phases_in_order(made: Any) -> None:
    told = made[2]
    phases = list(dict.fromkeys(phase for phase, _ in told))
    assert phases == ["preparing", "fitting", "evaluating", "exporting"]
    for phase in phases:
        shares = [share for told_phase, share in told if told_phase == phase]
        assert shares == sorted(shares)
        assert shares[0] == 0.0


def test_another_seed_gives_another_file_and_the_base_labels_can_be_left_out(made: Any, tmp_path: Path) -> None:
    asked, report, _ = made
    other = trained(replace(asked, seed=1, mode="replace"), tmp_path / "work")
    assert other.report["sha256"] != report.report["sha256"]
    assert other.report["controls"]["graph_difference"] <= 1e-5
    added = add_model(ModelStore(tmp_path / "store"), other.model, CheckLimits())
    assert added.scoring.reported_labels == ["beep", "buzz"]


def test_the_calibration_rests_on_two_heads_that_do_not_know_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path)
    groups = {recording.sha256: recording.group for recording in asked.recordings}
    known: dict[bytes, set[str]] = {}  # by head
    scored = Counter[str]()

    def name_of(head: Head) -> bytes:
        return head.weights["in.w"].tobytes()

    def fit(recordings: Sequence[Marked], seed: int, _: object) -> Head:
        weights = initial(8, 2, np.random.default_rng(seed))
        head = Head(np.zeros(8, np.float32), np.ones(8, np.float32), weights)
        known[name_of(head)] = {marked.recording.group for marked in recordings}
        return head

    def score(head: Head, features: np.memmap[Any, Any]) -> np.ndarray:
        group = groups[Path(str(features.filename)).name.partition("-")[0]]
        assert group not in known[name_of(head)]
        scored[group] += 1
        return scores_of(head, features)

    monkeypatch.setattr(run, "fit_head", fit)
    monkeypatch.setattr(run, "scores_of", score)
    trained(asked, tmp_path / "work")
    fitted = set.union(*known.values())
    assert len(known) == 7
    assert {scored[group] for group in fitted} == {2}
    assert {scored[group] for group in set(groups.values()) - fitted} == {1}  # by the head for labels at wrong times


def test_a_cancelled_training_goes_on_where_it_ended_and_ends_with_the_same_file(made: Any, tmp_path: Path) -> None:
    asked, report, _ = made
    work = tmp_path / "work"

    def cancelled() -> bool:
        return (work / "head-3.npz").exists()

    with pytest.raises(Stopped):
        train(asked, work, lambda phase, share: None, cancelled)
    kept = {path: path.stat().st_mtime_ns for path in [*work.glob("*.npz"), *work.glob("features/*.features")]}
    assert len(kept) == 4 + 12
    assert trained(asked, work).report["sha256"] == report.report["sha256"]
    features = [path for path in kept if path.suffix == ".npz"]
    assert {path: path.stat().st_mtime_ns for path in features} == {path: kept[path] for path in features}


def same_samples(audio: np.ndarray, number: int, path: Path) -> None:
    soundfile.write(path, audio, RATE_HZ)
    path.write_bytes(path.read_bytes() + bytes(number + 1))  # no two files have the same bytes


def coded_again(audio: np.ndarray, number: int, path: Path) -> None:
    copy = audio[number * 400 :] * 0.9**number
    soundfile.write(path, copy + 0.0005 * np.random.default_rng(number).standard_normal(len(copy)), RATE_HZ)


@pytest.mark.parametrize("write", [same_samples, coded_again])
def test_copies_under_other_names_are_of_one_group_so_there_is_too_little(
    tmp_path: Path, write: Callable[[np.ndarray, int, Path], None]
) -> None:
    one = recording(tmp_path, 0, "original")
    with one.read() as original:
        audio, _ = soundfile.read(original)
    copies = []
    for number in range(12):
        path = tmp_path / f"copy-{number}.wav"
        write(audio, number, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        copies.append(replace(one, id=f"copy-{number}", read=reader(path), sha256=digest, group=f"group-{number}"))
    with pytest.raises(TrainingRefused, match="beep: its events held out are of 1 group; 3 are needed"):
        trained(request(tmp_path, tuple(copies)), tmp_path / "work")


def test_features_are_kept_under_a_cap(made: Any, tmp_path: Path) -> None:
    asked, _, _ = made
    cache = tmp_path / "cache"
    trained_with_cap = replace(asked, cache=cache, cache_bytes=1, recordings=asked.recordings[:1])
    for recordings in (asked.recordings[:1], asked.recordings[1:2]):
        with pytest.raises(TrainingRefused):
            trained(replace(trained_with_cap, recordings=recordings), tmp_path / recordings[0].id)
    assert [path.name.split("-")[0] for path in cache.glob("*.features")] == [asked.recordings[1].sha256]
