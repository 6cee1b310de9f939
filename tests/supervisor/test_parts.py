"""The processes of the appliance: one worker, or one for each GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from appliance.config import Settings
from appliance.services.pulse import beat
from appliance.supervisor import parts


@pytest.mark.parametrize(
    ("provider", "gpus", "workers"),
    [
        ("auto", [], [("worker", [], "7")]),
        ("cuda", ["0"], [("worker", [], "7")]),
        ("auto", ["0", "GPU-a1"], [("worker", ["1", "2"], "0"), ("worker-2", ["2", "2"], "GPU-a1")]),
        ("cpu", ["0", "1"], [("worker", [], "7")]),
    ],
)
def test_each_gpu_has_a_worker_that_sees_no_other(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    provider: Literal["auto", "cuda", "cpu"],
    gpus: list[str],
    workers: list[tuple[str, list[str], str]],
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setattr(parts, "list_gpus", lambda: gpus)
    made = parts.workers(Settings(data_dir=tmp_path, provider=provider))
    arguments = [(part.name, part.command[3:], part.environment["CUDA_VISIBLE_DEVICES"]) for part in made]
    assert arguments == workers


def test_each_worker_shows_its_own_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(parts, "list_gpus", lambda: ["0", "1"])
    first, second = parts.workers(Settings(data_dir=tmp_path))
    beat(tmp_path, 2)
    assert (first.probe(1), second.probe(1)) == (False, True)
