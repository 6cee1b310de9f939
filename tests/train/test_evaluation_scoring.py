"""The evaluation's rules for a right detection: what counts, what does not, and never twice."""

from __future__ import annotations

import pytest
from evaluation import scoring
from evaluation.scoring import Span


def scored(events, detections, unsure=(), kind="faulty", seconds=3600.0):
    """A file with events (label, start, end) and detections (label, start, end, confidence), in seconds."""
    entry = {
        "kind": kind,
        "unsure": list(unsure),
        "duration_seconds": seconds,
        "events": [
            {"label": label, "mechanism": "m", "start_seconds": start, "end_seconds": end}
            for label, start, end in events
        ],
    }
    answer = {
        "detections": [
            {"artifact_type": label, "start_ms": int(start * 1000), "end_ms": int(end * 1000), "confidence": confidence}
            for label, start, end, confidence in detections
        ]
    }
    return scoring.score_file(entry, answer)


@pytest.mark.parametrize(
    ("event", "detection", "right"),
    [
        (("dropout", 1.0, 1.1), ("dropout", 1.09, 1.1), True),
        (("dropout", 1.0, 1.1), ("dropout", 1.11, 1.1), False),  # onset off by more than 100 ms
        (("dropout", 1.0, 1.1), ("dropout", 1.0, 1.29), True),
        (("dropout", 1.0, 1.1), ("dropout", 1.0, 1.31), False),  # offset off by more than 200 ms
        (("hum", 1.0, 5.0), ("hum", 1.0, 3.1), True),  # half of four seconds
        (("hum", 1.0, 5.0), ("hum", 1.0, 2.9), False),
        (("click", 1.0, 1.001), ("click", 1.05, 2.0), True),  # a point has no offset
        (("click", 1.0, 1.001), ("glitch", 1.0, 1.001), False),
    ],
)
def test_collars_and_type(event, detection, right):
    assert scoring.fits(Span(*event), Span(*detection)) is right


def test_an_event_is_found_once():
    file = scored([("click", 1.0, 1.001)], [("click", 1.0, 1.01, 0.9), ("click", 1.05, 1.06, 0.8)])
    counts = file.counts["click"]
    assert (counts.hits, counts.misses, counts.alarms) == (1, 0, 1)
    assert file.right == [True, False]


def test_the_matching_is_the_largest():
    # The surer detection fits both events; giving it the wrong one would lose the other detection its only event.
    events = [("click", 1.0, 1.001), ("click", 1.15, 1.151)]
    file = scored(events, [("click", 1.08, 1.09, 0.9), ("click", 0.95, 0.96, 0.5)])
    assert file.counts["click"].hits == 2


def test_unsure_labels_count_neither_way():
    file = scored([], [("clipping", 1.0, 2.0, 0.9), ("hum", 1.0, 2.0, 0.9)], unsure=["clipping"], kind="clean")
    assert scoring.false_alarms_per_hour([file]) == 1.0
    assert file.num_ignored == 1


def test_f1_is_of_events():
    file = scored([("hum", 0.0, 2.0), ("hum", 5.0, 7.0)], [("hum", 0.0, 2.0, 0.9), ("hum", 10.0, 12.0, 0.9)])
    counts = scoring.total([file], ["hum"])
    assert (counts.precision, counts.recall, counts.f1) == (0.5, 0.5, 0.5)
    assert scoring.macro_f1([file]) == pytest.approx(0.5 / 6)


def test_calibration_error_is_the_gap_between_confidence_and_truth():
    events = [("click", second, second + 0.001) for second in range(5)]
    said = [("click", second, second + 0.01, 0.75) for second in range(10)]
    error, bins = scoring.calibration_error([scored(events, said)])
    assert error == pytest.approx(0.25)
    assert bins == [(0.75, 0.5, 10)]


def test_the_onset_errors_are_those_of_what_was_found():
    events = [("click", 1.0, 1.001), ("hum", 2.0, 5.0), ("dropout", 6.0, 6.1)]
    file = scored(events, [("click", 1.03, 1.04, 0.9), ("hum", 1.92, 5.0, 0.9), ("dropout", 6.2, 6.3, 0.9)])
    assert scoring.onset_errors([file]) == pytest.approx([0.03, 0.08])
    assert scoring.onset_errors([file], ["hum"]) == pytest.approx([0.08])
