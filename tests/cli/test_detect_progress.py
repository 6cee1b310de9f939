"""The line that says how far ``detect`` is."""

from __future__ import annotations

import time

import pytest

from appliance.cli.detect_progress import Progress


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock: its last item is the time."""
    times = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: times[-1])
    return times


def test_rates_are_of_this_run_and_the_rest_is_estimated_by_them(seconds: list[float]) -> None:
    progress = Progress(1000, 3, lambda: None)
    assert progress.text() == "1,000 files, 3 failed"
    seconds.append(110.0)
    for _ in range(20):
        progress.hear(60.0)
        progress.end_file(failed=False)
    progress.end_file(failed=True)
    assert progress.text() == "1,021 files, 4 failed, 2.1 files/s, 120 × real time"
    progress.end_inputs(231)
    assert progress.text() == "1,021 of 1,231 files, 4 failed, 2.1 files/s, 120 × real time, 1:40 left"


def test_without_a_terminal_there_is_a_line_every_30_seconds(
    seconds: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(0, 0, lambda: 3) as progress:
        progress.end_inputs(3)
        for now in (110.0, 131.0, 140.0):
            seconds.append(now)
            progress.end_file(failed=False)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" files, ")[0] for line in lines] == ["2 of 3", "3 of 3"]


def test_a_short_run_without_a_terminal_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(0, 0, lambda: 1) as progress:
        progress.end_file(failed=False)
    assert capsys.readouterr().err == ""
