"""How a graph uses the cores is measured once, kept, and measured again when something changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from appliance.engine.models import calibration
from appliance.engine.models.calibration import FILE, calibrated, choices, kept_calibration
from appliance.engine.models.manifest import read_manifest
from appliance.engine.models.session import Parallel, Session
from appliance.engine.models.store import StoredModel
from tests.support import toy_models


@pytest.fixture
def model(tmp_path: Path) -> StoredModel:
    folder = toy_models.frame_model(tmp_path / "store")
    return StoredModel(read_manifest(folder / "manifest.toml"), folder)


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> dict[Parallel, float]:
    """The speeds that are measured on a machine with four cores; which were measured is the keys' order."""
    speeds = {Parallel(4, 1): 10.0, Parallel(2, 2): 10.5, Parallel(1, 4): 7.0}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(calibration, "_windows_per_second", lambda _model, _batch, choice: speeds[choice])
    return speeds


def test_choices_go_from_a_call_for_each_core_to_one_call_for_all() -> None:
    assert choices(1) == [Parallel(1, 1)]
    assert choices(2) == [Parallel(2, 1), Parallel(1, 2)]
    assert choices(6) == [Parallel(6, 1), Parallel(3, 2), Parallel(1, 4), Parallel(1, 6)]
    assert choices(8) == [Parallel(8, 1), Parallel(4, 2), Parallel(2, 4), Parallel(1, 8)]


def test_what_is_set_by_hand_fills_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert Parallel.of(0, 0) == Parallel(8, 1)
    assert Parallel.of(2, 0) == Parallel(2, 4)
    assert Parallel.of(0, 2) == Parallel(4, 2)
    assert Parallel.of(3, 5) == Parallel(3, 5)
    assert Parallel.of(0, 16) == Parallel(1, 16)


def test_a_choice_that_is_hardly_faster_does_not_replace_the_default(
    tmp_path: Path, model: StoredModel, speeds: dict[Parallel, float]
) -> None:
    assert calibrated(tmp_path, model, 0).best == Parallel(4, 1)
    speeds[Parallel(2, 2)] = 12.0
    assert calibrated(tmp_path, model, 0).best == Parallel(4, 1)  # kept
    assert calibrated(tmp_path, model, 3).best == Parallel(2, 2)  # another batch size


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"for": 1', '{"for": {}}', "[" * 10_000])
def test_a_damaged_file_is_measured_again(
    tmp_path: Path, model: StoredModel, speeds: dict[Parallel, float], content: str
) -> None:
    (tmp_path / FILE).write_text(content)
    assert kept_calibration(tmp_path, model, 0) is None
    assert calibrated(tmp_path, model, 0).windows_per_second == speeds
    assert kept_calibration(tmp_path, model, 0) == calibrated(tmp_path, model, 0)


def test_another_machine_is_measured_again(
    tmp_path: Path, model: StoredModel, speeds: dict[Parallel, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated(tmp_path, model, 0)
    content = json.loads((tmp_path / FILE).read_text())
    assert content["for"]["cores"] == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert kept_calibration(tmp_path, model, 0) is None


def test_a_folder_that_cannot_be_written_does_not_matter(
    tmp_path: Path, model: StoredModel, speeds: dict[Parallel, float]
) -> None:
    assert calibrated(tmp_path / "nothing", model, 0).best == Parallel(4, 1)


def test_a_real_graph_is_measured(tmp_path: Path, model: StoredModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SECONDS_EACH", 0.01)
    monkeypatch.setattr(calibration, "num_cores", lambda: 2)
    measured = calibrated(tmp_path, model, 0)
    assert list(measured.windows_per_second) == choices(2)
    assert min(measured.windows_per_second.values()) > 0
    session = Session(model, "cpu", 0, Parallel(3, 1))
    assert (session.calls, len(session.slots)) == (3, 3)
