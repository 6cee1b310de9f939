"""The intervals of the evaluation's figures: recordings are drawn, not clips, and a figure lies inside its interval."""

from __future__ import annotations

import pytest
from evaluation import intervals, scoring


def clip(recording: str, num_found: int, num_missed: int) -> scoring.ScoredFile:
    """A clip of a recording with dropouts, of which some are detected."""
    seconds = range(num_found + num_missed)
    entry = {
        "kind": "faulty",
        "package": "p",
        "source": [recording],
        "unsure": [],
        "duration_seconds": 360.0,
        "events": [
            {"label": "dropout", "mechanism": "m", "start_seconds": float(s), "end_seconds": s + 0.1} for s in seconds
        ],
    }
    detections = [
        {"artifact_type": "dropout", "start_ms": 1000 * s, "end_ms": 1000 * s + 100, "confidence": 0.9}
        for s in range(num_found)
    ]
    return scoring.score_file(entry, {"detections": detections})


def test_what_is_always_the_same_has_no_width() -> None:
    files = [clip(str(number), 1, 1) for number in range(8)]
    assert intervals.interval(files, intervals.recall, mechanism="m") == (0.5, 0.5)
    assert intervals.interval(files, intervals.f1, ["dropout"]) == pytest.approx((2 / 3, 2 / 3))
    assert intervals.interval(files, intervals.alarms_per_hour) == (0.0, 0.0)


def test_clips_of_one_recording_are_drawn_together() -> None:
    # Half of the events are found. In recordings of their own they vary less than in two recordings.
    apart = [clip(str(number), number % 2, 1 - number % 2) for number in range(40)]
    together = [clip(str(number % 2), number % 2, 1 - number % 2) for number in range(40)]
    low, high = intervals.interval(apart, intervals.recall)
    assert 0.3 < low < 0.5 < high < 0.7
    assert intervals.interval(together, intervals.recall) == (0.0, 1.0)


def test_only_events_of_the_mechanism_count() -> None:
    files = [clip("a", 1, 0)]
    assert intervals.interval(files, intervals.recall, mechanism="m") == (1.0, 1.0)
    assert intervals.interval(files, intervals.recall, mechanism="other") == (0.0, 0.0)
