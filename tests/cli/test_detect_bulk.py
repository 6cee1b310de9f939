"""``detect`` over many files: folders, a list, bad files, a run that is killed, and its memory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.appliances import ROOT, environment
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

pytestmark = pytest.mark.slow  # each call loads a model and starts decoder processes

NUM_FILES = 300


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    """A folder with copies of a recording under several names, and one file that is no recording."""
    folder = tmp_path / "takes"
    for number in range(NUM_FILES):
        path = folder / f"{number % 7}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(loud_wav())
    (folder / "bad.wav").write_bytes(b"Dear Sir or Madam")
    return folder


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def start(models: Path, tmp_path: Path, *arguments: str, stdin: bytes = b"") -> subprocess.Popen[bytes]:
    env = environment(model_store=models, default_model="loud-frames") | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "appliance.cli", "detect", *arguments]
    (tmp_path / "stdin").write_bytes(stdin)
    with open(tmp_path / "stdin", "rb") as source:
        return subprocess.Popen(command, env=env, cwd=tmp_path, stdin=source)


def test_a_run_that_is_killed_goes_on_with_each_file_once(models: Path, takes: Path, tmp_path: Path) -> None:
    arguments = ("takes", "takes/0", "takes/**/1*.wav", "--format", "jsonl", "--output", "out.jsonl", "--resume")
    output = tmp_path / "out.jsonl"
    for wanted in (20, 150):  # killed twice
        process = start(models, tmp_path, *arguments)
        while process.poll() is None:
            if output.exists() and output.read_bytes().count(b"\n") >= wanted:
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait() == -signal.SIGKILL
    num_kept = output.read_bytes().count(b"\n")
    assert 150 <= num_kept < NUM_FILES
    output.write_bytes(output.read_bytes() + b'{"file": "takes/3/3.w')  # as if killed in the middle of a line
    kept = output.read_bytes()[: output.read_bytes().rindex(b"\n") + 1]

    process = start(models, tmp_path, *arguments)
    assert process.wait() == 1
    assert output.read_bytes().startswith(kept)
    results = lines(output)
    expected = {os.path.relpath(path, tmp_path) for path in takes.rglob("*.wav")}
    assert Counter(result["file"] for result in results) == Counter(expected)
    assert [result["file"] for result in results if result["error"]] == ["takes/bad.wav"]
    assert all(result["detections"] == LOUD_DETECTIONS for result in results if not result["error"])

    before = output.read_bytes()
    assert start(models, tmp_path, *arguments).wait() == 1  # the failure of the first run still counts
    assert output.read_bytes() == before


def test_bad_paths_are_results_and_do_not_hold_up_the_others(models: Path, tmp_path: Path) -> None:
    (tmp_path / "take.wav").write_bytes(loud_wav())
    os.mkfifo(tmp_path / "pipe.wav")
    names = [b"gone.wav", b"pipe.wav", b"odd \xff name.wav", b"nul\0.wav", b"x" * 5000, b"*.ogg", b"take.wav"]
    stdin = b"\n".join(names)
    process = start(models, tmp_path, "-", "--format", "jsonl", "--output", "out.jsonl", stdin=stdin)
    assert process.wait(30) == 1
    results = {result["file"]: result for result in lines(tmp_path / "out.jsonl")}
    assert set(results) == {os.fsdecode(name) for name in names}
    assert {name for name, result in results.items() if not result["error"]} == {"take.wav"}
    assert "not a regular file" in results["pipe.wav"]["error"]
    assert "NUL" in results["nul\0.wav"]["error"]


def peak_megabytes(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process. Returns its largest memory; what ``wait4`` says includes that of the process before exec."""
    peak = 0.0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        if match := re.search(r"VmHWM:\s+(\d+) kB", status):
            peak = int(match[1]) / 1024
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    return peak


def test_memory_does_not_grow_with_the_number_of_paths(models: Path, tmp_path: Path) -> None:
    """The second run has 20 MB of paths, half of them held by the output."""
    peaks = []
    for num_paths in (10_000, 20_000):
        stdin = "".join(f"{number}/{'long/' * 200}\n" for number in range(num_paths)).encode()
        process = start(models, tmp_path, "-", "--format", "jsonl", "--output", "out.jsonl", "--resume", stdin=stdin)
        peaks.append(peak_megabytes(process))
        assert process.returncode == 1
    assert peaks[1] < peaks[0] + 5
    names = [result["file"] for result in lines(tmp_path / "out.jsonl")]
    assert len(names) == len(set(names)) == 20_000


def test_an_output_that_cannot_be_written_ends_the_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "take.wav").write_bytes(loud_wav())
    for output in ("jsonl", "json"):
        result = run("detect", "take.wav", "take.wav", "--format", output, "--output", "/dev/full", code=1)
        assert "No space left on device" in result.stderr
        assert "Traceback" not in result.stderr


def test_resume_needs_lines_of_json_in_a_file(run: Run) -> None:
    for options in (["--resume"], ["--resume", "--format", "jsonl"], ["--resume", "--output", "out.jsonl"]):
        assert "--resume needs" in run("detect", "take.wav", *options, code=2).stderr


@pytest.mark.parametrize("output", ["csv", "table", "json", "jsonl"])
def test_a_name_that_is_no_utf8_is_printed(models: Path, tmp_path: Path, output: str) -> None:
    (tmp_path / "takes").mkdir()
    with open(os.fsencode(tmp_path) + b"/takes/\xff.wav", "wb") as file:
        file.write(loud_wav())
    env = environment(model_store=models, default_model="loud-frames") | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "appliance.cli", "detect", "takes", "--format", output]
    result = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert b"takes/\xff.wav" in result.stdout or b"takes/\\udcff.wav" in result.stdout
