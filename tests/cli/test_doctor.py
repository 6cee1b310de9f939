"""``doctor`` says what the appliance will do with what it stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.engine.models import calibration
from appliance.engine.models.calibration import calibrated
from appliance.engine.models.session import num_cores
from appliance.engine.models.store import ModelStore
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {},
            "keeps originals until they are deleted, results until they are deleted, unused raw uploads for 2 days",
        ),
        (
            {"RETENTION_ORIGINALS_DAYS": "0.5", "RETENTION_RESULTS_DAYS": "30", "UNUSED_UPLOAD_DAYS": "7"},
            "keeps originals for 0.5 days, results for 30 days, unused raw uploads for 7 days",
        ),
    ],
)
def test_doctor_shows_the_retention(
    run: Run, one_model: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], line: str
) -> None:
    for name, value in ({"MODEL_STORE": str(one_model)} | settings).items():
        monkeypatch.setenv(f"APPLIANCE_{name}", value)
    lines = run("doctor", "--data-dir", "data", "--port", "65000").stdout.splitlines()
    assert f"ok   retention    {line}" in lines


def test_doctor_shows_how_the_cores_are_used(run: Run, one_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def line() -> str:
        lines = run("doctor", "--data-dir", "data", "--port", "65000").stdout.splitlines()
        return next(line.removeprefix("ok   cores ").strip() for line in lines if line.startswith("ok   cores "))

    monkeypatch.setenv("APPLIANCE_MODEL_STORE", str(one_model))
    monkeypatch.setenv("APPLIANCE_SCORING_CALLS", "0")
    default = f"scoring calls at once: {num_cores()}, threads of each: 1; "
    assert line() == default + "by default; the worker measures it at its first start"
    monkeypatch.setattr(calibration, "_windows_per_second", lambda _model, _batch, choice: 10.0 / choice.threads)
    Path("data").mkdir(exist_ok=True)
    calibrated(Path("data"), ModelStore(one_model).resolve("loud-frames"), 0)
    assert line().startswith(default + f"windows per second, measured by calls × threads: {num_cores()} × 1: 10")
    monkeypatch.setenv("APPLIANCE_SCORING_CALLS", "3")
    monkeypatch.setenv("APPLIANCE_SCORING_THREADS", "5")
    assert line() == "scoring calls at once: 3, threads of each: 5; as set"
