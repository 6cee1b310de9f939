"""scripts/check-gpu without a GPU: it says so, and its measurements run on the CPU."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from appliance.engine.models.gpu_options import GpuOptions
from appliance.engine.scoring.events import Detection
from tests.support.appliances import ROOT

SCRIPT = ROOT / "scripts" / "check_gpu.py"


@pytest.fixture(scope="module")
def check_gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_gpu", SCRIPT)
    assert spec
    assert spec.loader
    module = sys.modules["check_gpu"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_says_why_and_measures_nothing() -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, SCRIPT], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "No GPU can be used: " in done.stderr
    assert "--provider cpu" in done.stderr


def test_memory_and_speed_of_a_small_graph_are_measured(check_gpu: ModuleType, tmp_path: Path) -> None:
    effort = replace(check_gpu.CPU, batches=20, seconds=0.01, channels=4, layers=1)
    check = check_gpu.Check("cpu", effort, tmp_path)
    (steady,) = check._steady()
    assert steady.ok in (True, False)
    assert steady.result.startswith("× ")
    rows = list(check._speeds(lambda: check_gpu.write_large(tmp_path, effort)))
    measured = [row for row in rows if row.result != check_gpu.NOT_RUN]
    assert [row.what.partition(", ")[2] for row in measured] == [
        "large, float32, 1 at once",
        "large, float32, 2 at once",
        "large, float16, 1 at once",
    ]
    assert all(float(row.result) > 0 for row in measured)
    assert len(rows) == 6


def test_out_of_memory_loses_nothing(check_gpu: ModuleType, tmp_path: Path) -> None:
    effort = replace(check_gpu.CPU, channels=4, layers=1)
    check = check_gpu.Check("cpu", effort, tmp_path)
    check.bundled = check_gpu.write_large(tmp_path, effort)
    (row,) = check._short_of_memory()
    assert (row.ok, row.result) == (True, "batches of 2; windows lost: 0; scores differ by 0.0000")


def test_a_measurement_that_fails_is_a_row(check_gpu: ModuleType, tmp_path: Path) -> None:
    check = check_gpu.Check("cpu", check_gpu.CPU, tmp_path)
    model = check_gpu.write_large(tmp_path, replace(check_gpu.CPU, channels=4, layers=1))
    (model.folder / "model.onnx").write_bytes(b"not a graph")
    (row,) = check._guarded("speed", check._timed, "speed", model, GpuOptions())
    assert row.ok is False
    assert "does not load" in row.result


def test_detections_are_near_enough_or_not(check_gpu: ModuleType) -> None:
    exact = {"a.flac": [Detection("click", 10, 20, 0.9), Detection("hum", 30, 90, 0.8)]}

    def compared(*other: Detection) -> tuple[str, bool]:
        result: tuple[str, bool] = check_gpu.compare(exact, {"a.flac": list(other)})
        return result

    click, hum = exact["a.flac"]
    assert compared(click, replace(hum, end_ms=91, confidence=0.795))[1]
    assert not compared(click, replace(hum, end_ms=92))[1]
    assert not compared(click, replace(hum, confidence=0.78))[1]
    assert compared(click) == ("a.flac: click in place of click, hum", False)


def test_the_table_is_markdown(check_gpu: ModuleType) -> None:
    table = check_gpu.table([check_gpu.Row("parity", "8 clips", "equal", True), check_gpu.Row("speed", "", "9", None)])
    assert table.splitlines()[2:] == ["| parity | 8 clips | equal | ok |", "| speed |  | 9 |  |"]
