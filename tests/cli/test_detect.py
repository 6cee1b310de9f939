"""``detect`` with toy models whose scores can be worked out by hand. A new model needs no code."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.support.appliances import ROOT, environment
from tests.support.encoded_files import encode, noise, video_only, wav, without_ogg_page
from tests.support.toy_recordings import LOUD_DETECTIONS, LOUD_DURATION_MS, loud_wav

pytestmark = pytest.mark.slow  # each call loads a model and starts a decoder process


@pytest.fixture
def take(tmp_path: Path) -> str:
    (tmp_path / "take.wav").write_bytes(loud_wav())
    return "take.wav"


def test_json_is_as_the_contract_says(run: Run, take: str) -> None:
    result = run("detect", take, "--format", "json")
    assert result.stderr == ""
    assert json.loads(result.stdout) == {
        "files": [{"file": take, "duration_ms": LOUD_DURATION_MS, "detections": LOUD_DETECTIONS, "error": None}]
    }


def test_jsonl_has_a_line_for_each_file(run: Run, tmp_path: Path) -> None:
    names = [f"{number}.wav" for number in range(5)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(loud_wav(100, [(10 * number, 10 * number + 5)]))
    lines = [json.loads(line) for line in run("detect", *names, "--format", "jsonl").stdout.splitlines()]
    lines.sort(key=lambda line: line["file"])  # they come in the order in which the files ended
    assert [line["file"] for line in lines] == names
    starts = [line["detections"][0]["start_ms"] for line in lines]
    assert starts == [10 * number * 256 * 1000 // 22_050 for number in range(5)]


def test_csv_has_a_row_for_each_detection(run: Run, tmp_path: Path) -> None:
    name = 'odd, "name".wav'
    (tmp_path / name).write_bytes(loud_wav(200, [(0, 10), (100, 150)]))
    rows = list(csv.DictReader(io.StringIO(run("detect", name, "--format", "csv").stdout)))
    assert rows == [
        {
            "file": name,
            "artifact_type": "loud",
            "start_ms": "0",
            "end_ms": "117",
            "confidence": "1.0",
            "source": "model",
        },
        {
            "file": name,
            "artifact_type": "loud",
            "start_ms": "1160",
            "end_ms": "1742",
            "confidence": "1.0",
            "source": "model",
        },
    ]


def test_audacity_labels_have_times_in_seconds(run: Run, take: str) -> None:
    assert run("detect", take, "--format", "audacity").stdout == "1.160000\t1.742000\tloud 1.00\n"
    assert "one FILE" in run("detect", take, take, "--format", "audacity", code=2).stderr


def test_the_default_output_is_a_table(run: Run, take: str) -> None:
    table = run("detect", take).stdout
    for cell in (take, "loud", "0:01.160", "0:01.742", "1.00"):
        assert cell in table


@pytest.mark.parametrize("output", ["json", "jsonl", "csv", "audacity", "table"])
def test_a_recording_without_findings(run: Run, tmp_path: Path, output: str) -> None:
    (tmp_path / "quiet.wav").write_bytes(loud_wav(100, []))
    run("detect", "quiet.wav", "--format", output)


def test_a_bad_file_has_an_error_and_the_others_have_results(run: Run, take: str, tmp_path: Path) -> None:
    bad = {
        "empty.wav": (b"", "empty"),
        "text.wav": (b"Dear Sir or Madam, " * 100, "not a recording"),
        "short.wav": (wav(np.zeros(100, np.float32), 22_050), "100 ms"),
        "film.mp4": (video_only(), "video"),
    }
    for name, (content, _) in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.wav").mkdir()
    names = [take, *bad, "missing.wav", "folder.wav", take]
    files = json.loads(run("detect", *names, "--format", "json", code=1).stdout)["files"]
    assert [file["file"] for file in files] == names
    for file in (files[0], files[-1]):
        assert (file["detections"], file["error"]) == (LOUD_DETECTIONS, None)
    for file, (_, reason) in zip(files[1:5], bad.values(), strict=True):
        assert reason in file["error"]
    assert "No such file" in files[5]["error"]
    assert "no recordings" in files[6]["error"]
    for file in files[1:-1]:
        assert (file["duration_ms"], file["detections"]) == (None, [])


@pytest.mark.parametrize("output", ["csv", "audacity", "table"])
def test_formats_without_an_error_field_print_errors_on_stderr(run: Run, tmp_path: Path, output: str) -> None:
    (tmp_path / "text.wav").write_bytes(b"text")
    result = run("detect", "text.wav", "--format", output, code=1)
    assert result.stderr.startswith("text.wav: ")
    assert "text.wav" not in result.stdout


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [(0, 465), (812, 1115)]),
        (["--merge-window-ms", 349], [(0, 1115)]),
        (["--merge-window-ms", 0], [(0, 117), (232, 465), (812, 1115)]),
        (["--merge-window-ms", 0, "--min-duration-ms", 117], [(232, 465), (812, 1115)]),
        (["--threshold", 0.7], [(0, 465)]),
        (["--threshold", 0.7, "--min-duration-ms", 466], []),
    ],
)
def test_options_decide_what_is_reported(run: Run, tmp_path: Path, options: list, expected: list) -> None:
    """Loud in frames 0–10 and 20–40, half as loud in 70–96: a score of 0.6."""
    samples = np.zeros(120 * 256, np.float32)
    for first, last, level in ((0, 10, 0.5), (20, 40, 0.5), (70, 96, 0.12)):
        samples[first * 256 : last * 256] = level
    (tmp_path / "take.wav").write_bytes(wav(samples, 22_050))
    files = json.loads(run("detect", "take.wav", "--format", "json", *options).stdout)["files"]
    assert [(detection["start_ms"], detection["end_ms"]) for detection in files[0]["detections"]] == expected


@pytest.mark.parametrize(
    "options",
    [
        ["--threshold", "1.1"],
        ["--threshold", "-0.1"],
        ["--threshold", "x"],
        ["--threshold", "nan"],
        ["--merge-window-ms", "5001"],
        ["--merge-window-ms", "-1"],
        ["--merge-window-ms", "1.5"],
        ["--min-duration-ms", "1001"],
        ["--format", "xml"],
    ],
)
def test_an_option_out_of_range_is_refused(run: Run, take: str, options: list[str]) -> None:
    assert options[0] in run("detect", take, *options, code=2).stderr


def test_a_missing_file_argument_and_an_unknown_model_are_reported(run: Run, take: str) -> None:
    assert "FILE" in run("detect", code=2).stderr
    assert "no model 'nothing'" in run("detect", take, "--model", "nothing", code=1).stderr


def detect(run: Run, model: str, samples: np.ndarray, rate_hz: int, *options: object) -> list[tuple[int, int]]:
    """Return the start and end in ms of each detection of a model."""
    Path("take.wav").write_bytes(wav(samples, rate_hz))
    result = run("detect", "take.wav", "--model", model, "--format", "json", *options)
    detections = json.loads(result.stdout)["files"][0]["detections"]
    assert {detection["artifact_type"] for detection in detections} <= {"loud"}
    return [(detection["start_ms"], detection["end_ms"]) for detection in detections]


def level(rate_hz: int, seconds: float, loud: list[tuple[float, float]], value: float = 0.5) -> np.ndarray:
    samples = np.zeros(round(rate_hz * seconds), np.float32)
    for start, end in loud:
        samples[round(start * rate_hz) : round(end * rate_hz)] = value
    return samples


def test_window_scores(run: Run) -> None:
    """Windows of 0.5 s every 0.25 s: an instant has the mean of its two windows. Only the first quarter second has one.

    Loud from 1.0 to 1.5 s with a mean of 0.15: the window at 1.0 s scores 0.75, those at 0.75 and 1.25 s 0.375.
    1.00–1.25 s: (0.375 + 0.75) / 2 = 0.5625, and so 1.25–1.5 s; the quarter seconds beside them have 0.1875.
    """
    samples = level(16_000, 3, [(1.0, 1.5)], 0.15)
    assert detect(run, "loud-windows", samples, 16_000) == [(1000, 1500)]
    assert detect(run, "loud-windows", samples, 16_000, "--threshold", 0.18) == [(750, 1750)]
    assert detect(run, "loud-windows", samples, 16_000, "--threshold", 0.57) == []


def test_frame_scores_whose_hop_is_not_a_whole_number_of_milliseconds(run: Run) -> None:
    """22.05 kHz, input [batch, samples, 1], frames of 11.60998 ms. Times are right even after ten minutes."""
    frames = 600 * 22_050 // 256
    samples = np.zeros(frames * 256, np.float32)
    samples[(frames - 20) * 256 : (frames - 10) * 256] = 0.5
    start, end = (frames - 20) * 256_000 / 22_050, (frames - 10) * 256_000 / 22_050
    assert detect(run, "loud-frames", samples, 22_050) == [(int(start), int(end) + 1)]


@pytest.mark.parametrize("model", ["loud-softmax", "loud-single"])
def test_softmax_with_a_background_that_is_never_reported(run: Run, model: str) -> None:
    """8 kHz, [batch, 1, samples], frames of 10 ms; one graph takes any batch, the other one window at a time."""
    samples = level(8_000, 4.5, [(0.5, 0.75), (2.95, 3.15), (4.4, 4.5)])
    assert detect(run, model, samples, 8_000) == [(500, 750), (2950, 3150), (4400, 4500)]
    assert detect(run, model, samples, 8_000, "--threshold", 0) == [(0, 4500)]


def test_resampling_keeps_times(run: Run) -> None:
    samples = level(44_100, 3, [(1.0, 1.5)], 0.5) * np.sin(np.arange(3 * 44_100) * 0.1).astype(np.float32) * 2
    (start, end), *others = detect(run, "loud-softmax", samples, 44_100)
    assert not others
    assert [start, end] == pytest.approx([1000, 1500], abs=10)


def test_as_a_process_it_prints_only_results_on_stdout(models: Path, tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(loud_wav())
    command = [sys.executable, "-m", "appliance.cli", "detect", str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    env = environment(model_store=models, default_model="loud-frames") | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run([*command, "--format", "json"], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert [file["detections"] for file in json.loads(result.stdout)["files"]] == [LOUD_DETECTIONS] * 2


def test_audio_that_is_missing_in_the_stream_has_its_source(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lost.ogg").write_bytes(without_ogg_page(encode("opus", noise(48_000, 5, level=0.01), 48_000), 3))
    result = run("detect", "lost.ogg", "--model", "loud-gaps", "--threshold", 0.9, "--format", "json")
    [detection] = json.loads(result.stdout)["files"][0]["detections"]
    assert (detection["artifact_type"], detection["confidence"], detection["source"]) == ("dropout", 1.0, "stream")
    rows = run("detect", "lost.ogg", "--model", "loud-gaps", "--format", "csv").stdout.splitlines()
    assert rows[0] == "file,artifact_type,start_ms,end_ms,confidence,source"
    assert [row.split(",")[-1] for row in rows[1:]] == ["stream"]
