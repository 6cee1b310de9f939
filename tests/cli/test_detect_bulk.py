"""``detect`` over many files: folders, a list, bad files, a run that is killed, and its memory.

``BULK_FILES=100000 .venv/bin/python -m pytest tests/cli/test_detect_bulk.py -k killed -s -n 0 --timeout 0`` kills a run
over that many files and prints its figures.
"""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.appliances import PATIENCE_SECONDS, ROOT, environment
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

pytestmark = pytest.mark.slow  # each call loads a model and starts decoder processes

NUM_FILES = int(os.environ.get("BULK_FILES", "300"))
MIN_LINE_BYTES = 150  # of a result with a detection
NEWLINE = b"\n"


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    """A folder with copies of a recording of 232 ms under several names, and one file that is no recording."""
    folder = tmp_path / "takes"
    recording = loud_wav(20, [(5, 15)])
    for number in range(NUM_FILES):
        path = folder / f"{number % 7}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recording)
    (folder / "bad.wav").write_bytes(b"Dear Sir or Madam")
    return folder


# It leaves its own figures when it ends, among them its largest memory.
DETECT = """
import atexit, shutil, sys
from appliance.cli.__main__ import main
atexit.register(shutil.copyfile, "/proc/self/status", "status")
main(["detect", *sys.argv[1:]])
"""


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def start(models: Path, tmp_path: Path, *arguments: str, stdin: bytes = b"") -> subprocess.Popen[bytes]:
    env = environment(model_store=models, default_model="loud-frames") | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DETECT, *arguments]
    (tmp_path / "stdin").write_bytes(stdin)
    with open(tmp_path / "stdin", "rb") as source:
        return subprocess.Popen(command, env=env, cwd=tmp_path, stdin=source)


def peak_megabytes(process: subprocess.Popen[bytes], tmp_path: Path) -> float:
    """Wait for a process. Returns its largest memory; what ``wait4`` says includes that of the process before exec."""
    process.wait()
    match = re.search(r"VmHWM:\s+(\d+) kB", (tmp_path / "status").read_text())
    assert match
    return int(match[1]) / 1024


def test_a_run_that_is_killed_goes_on_with_each_file_once(models: Path, takes: Path, tmp_path: Path) -> None:
    arguments = ("takes", "takes/0", "takes/**/1*.wav", "--format", "jsonl", "--output", "out.jsonl", "--resume")
    output = tmp_path / "out.jsonl"
    for part in (0.1, 0.5):  # killed twice
        began = time.monotonic()
        process = start(models, tmp_path, *arguments)
        while not output.exists() or output.stat().st_size < part * NUM_FILES * MIN_LINE_BYTES:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        content = output.read_bytes()
        print(f"killed after {time.monotonic() - began:.0f} s: {content.count(NEWLINE)} results")
    kept = content[: content.rindex(NEWLINE) + 1]
    assert NUM_FILES / 3 < kept.count(NEWLINE) < NUM_FILES
    output.write_bytes(kept + b'{"file": "takes/3/3.w')  # as if killed in the middle of a line

    began = time.monotonic()
    process = start(models, tmp_path, *arguments)
    peak = peak_megabytes(process, tmp_path)
    assert process.returncode == 1
    assert output.read_bytes().startswith(kept)
    results = lines(output)
    print(f"ended after {time.monotonic() - began:.0f} s, at most {peak:.0f} MiB: {len(results)} results")
    expected = {os.path.relpath(path, tmp_path) for path in takes.rglob("*.wav")}
    assert Counter(result["file"] for result in results) == Counter(expected)
    assert [result["file"] for result in results if result["error"]] == ["takes/bad.wav"]
    assert all(len(result["detections"]) == 1 for result in results if not result["error"])

    before = output.read_bytes()
    assert start(models, tmp_path, *arguments).wait() == 1  # the failure of the first run still counts
    assert output.read_bytes() == before


def test_bad_paths_are_results_and_do_not_hold_up_the_others(models: Path, tmp_path: Path) -> None:
    (tmp_path / "take.wav").write_bytes(loud_wav())
    os.mkfifo(tmp_path / "pipe.wav")
    names = [b"gone.wav", b"pipe.wav", b"odd \xff name.wav", b"nul\0.wav", b"x" * 5000, b"*.ogg", b"take.wav"]
    stdin = b"\n".join(names)
    process = start(models, tmp_path, "-", "--format", "jsonl", "--output", "out.jsonl", stdin=stdin)
    assert process.wait(PATIENCE_SECONDS) == 1
    results = {result["file"]: result for result in lines(tmp_path / "out.jsonl")}
    assert set(results) == {os.fsdecode(name) for name in names}
    assert {name for name, result in results.items() if not result["error"]} == {"take.wav"}
    assert "not a regular file" in results["pipe.wav"]["error"]
    assert "NUL" in results["nul\0.wav"]["error"]


def test_memory_does_not_grow_with_the_number_of_paths(models: Path, tmp_path: Path) -> None:
    """The second run has 20 MB of paths, half of them held by the output."""
    peaks = []
    for num_paths in (10_000, 20_000):
        stdin = "".join(f"{number}/{'long/' * 200}\n" for number in range(num_paths)).encode()
        process = start(models, tmp_path, "-", "--format", "jsonl", "--output", "out.jsonl", "--resume", stdin=stdin)
        peaks.append(peak_megabytes(process, tmp_path))
        assert process.returncode == 1
    assert peaks[1] < peaks[0] + 7
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


def test_a_run_needs_no_standard_input(models: Path, tmp_path: Path) -> None:
    (tmp_path / "take.wav").write_bytes(loud_wav())
    env = environment(model_store=models, default_model="loud-frames") | {"PYTHONPATH": str(ROOT)}
    command = f"exec {sys.executable} -m appliance.cli detect take.wav --format jsonl <&-"
    result = subprocess.run(["bash", "-c", command], env=env, cwd=tmp_path, capture_output=True)
    assert (result.returncode, result.stderr) == (0, b"")
    assert json.loads(result.stdout)["detections"] == LOUD_DETECTIONS


def test_a_terminal_shows_how_far_it_is_and_the_results_go_elsewhere(models: Path, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.wav").write_bytes(loud_wav())
    env = environment(model_store=models, default_model="loud-frames") | {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
    command = [sys.executable, "-m", "appliance.cli", "detect", "*.wav", "--format", "jsonl"]
    terminal, end = pty.openpty()
    with open(end, "wb") as stderr:
        result = subprocess.run(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=stderr)
    with open(terminal, "rb", buffering=0) as screen:
        text = screen.read(100_000).decode()
    assert result.returncode == 0, text
    assert {json.loads(line)["file"] for line in result.stdout.splitlines()} == {"0.wav", "1.wav", "2.wav"}
    assert " files" in text
    assert "detections" not in text
