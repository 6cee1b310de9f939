"""From scores to detections, compared with slow implementations that follow the text of the contract."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.engine.scoring.events import POINT_MS, Detection, DetectionConfig, find_detections
from appliance.engine.scoring.levels import to_levels
from appliance.engine.scoring.spans import SpanFinder, find_spans
from appliance.engine.scoring.track import ScoreTrack
from tests.engine.models.manifests import make_manifest

LEVELS = [0.0, 0.1, 0.25, 0.3, 0.49, 0.5, 0.7, 0.75, 1.0]
# Milliseconds for each frame: whole, half, 256 samples at 22.05 kHz, a third.
HOPS = [Fraction(10), Fraction(25, 2), Fraction(256_000, 22_050), Fraction(100, 3), Fraction(1), Fraction(5, 2)]


def track_of(columns: list[list[float]], hop_ms: Fraction, short_by: Fraction = Fraction(0)) -> ScoreTrack:
    """Return a track of frames of one length, the last one cut at the recording's end."""
    num_frames = len(columns[0])
    edges = [float(i * hop_ms) for i in range(num_frames)] + [float(num_frames * hop_ms - short_by)]
    return ScoreTrack(np.array(edges), np.array(columns, np.float32).T)


def by_milliseconds(scores: list[float], hop_ms: int, threshold: float, merge_ms: int, min_ms: int) -> list:
    """For hops of whole milliseconds: mark every loud millisecond, close gaps, drop short spans."""
    loud = [score >= np.float32(threshold) for score in np.array(scores, np.float32) for _ in range(hop_ms)]
    for at in range(len(loud)):
        gap = next((n for n, is_loud in enumerate(loud[at:]) if is_loud), None)
        if at and loud[at - 1] and gap is not None and gap <= merge_ms:
            loud[at : at + gap] = [True] * gap
    events: list[tuple[int, int, float]] = []
    start: int | None = None
    for time, is_loud in enumerate([*loud, False]):
        if is_loud and start is None:
            start = time
        if not is_loud and start is not None:
            if time - start >= min_ms:
                confidence = max(scores[start // hop_ms : (time - 1) // hop_ms + 1])
                events.append((start, time, confidence))
            start = None
    return events


@given(
    scores=st.lists(st.sampled_from(LEVELS), min_size=1, max_size=40),
    hop_ms=st.integers(1, 12),
    threshold=st.sampled_from(LEVELS),
    merge_ms=st.integers(0, 60),
    min_ms=st.integers(0, 60),
)
@example([1, 0, 0, 1], 10, 0.5, 20, 0)  # a gap of exactly the merge window
@example([1, 0, 0, 1], 10, 0.5, 19, 0)
@example([1, 1, 0], 10, 0.5, 0, 20)  # exactly the minimum duration
@example([1, 1, 0], 10, 0.5, 0, 21)
def test_detections_equal_a_search_millisecond_by_millisecond(
    scores: list[float], hop_ms: int, threshold: float, merge_ms: int, min_ms: int
) -> None:
    manifest = make_manifest([{"name": "a"}])
    config = DetectionConfig(threshold, merge_ms, min_ms)
    detections = find_detections(track_of([scores], Fraction(hop_ms)), manifest, config)
    expected = by_milliseconds(scores, hop_ms, threshold, merge_ms, min_ms)
    assert [(d.start_ms, d.end_ms, d.confidence) for d in detections] == expected


def by_intervals(track: ScoreTrack, edges: list[Fraction], column: int, rule: dict[str, Any]) -> list[Detection]:
    """With exact times: join spans of segments until no two are close, then drop the short ones."""
    scores = track.scores[:, column]
    low = np.float32(rule["threshold"] * rule["hysteresis_ratio"])
    spans: list[list[int]] = []
    for i, score in enumerate(scores):
        if score >= low:
            if spans and spans[-1][-1] == i - 1:
                spans[-1].append(i)
            else:
                spans.append([i])
    spans = [span for span in spans if any(scores[i] >= np.float32(rule["threshold"]) for i in span)]
    joined = True
    while joined:
        joined = False
        for one, two in itertools.pairwise(spans):
            if edges[two[0]] - edges[one[-1] + 1] <= rule["merge_window_ms"]:
                spans[spans.index(one) : spans.index(two) + 1] = [list(range(one[0], two[-1] + 1))]
                joined = True
                break
    detections = []
    for span in spans:
        start, end = edges[span[0]], edges[span[-1] + 1]
        duration, shortest = end - start, rule["min_duration_ms"]
        if rule["point"]:
            duration, shortest = max(duration, Fraction(50)), rule["client_min_duration_ms"] or 0
        if duration >= shortest:
            confidence = round(float(max(scores[i] for i in span)), 4)
            first, last = math.floor(start), math.ceil(end)
            detections.append(Detection(rule["name"], first, max(last, first + 1), confidence))
    return detections


optional_rules = {
    "threshold": st.none() | st.sampled_from(LEVELS),
    "merge_window_ms": st.none() | st.integers(0, 150),
    "min_duration_ms": st.none() | st.integers(0, 150),
}
label_rules = st.fixed_dictionaries(
    optional_rules
    | {"point": st.booleans(), "reported": st.booleans(), "hysteresis_ratio": st.sampled_from([1.0, 0.5, 0.4])}
)


@given(
    num_frames=st.integers(1, 30),
    hop_ms=st.sampled_from(HOPS),
    labels=st.lists(label_rules, min_size=1, max_size=3),
    client=st.fixed_dictionaries(optional_rules),
    data=st.data(),
)
def test_detections_equal_a_search_with_exact_intervals(
    num_frames: int, hop_ms: Fraction, labels: list[dict], client: dict[str, Any], data: st.DataObject
) -> None:
    """For any hop; each label has its own rules, and the client's values override them."""
    columns = [data.draw(st.lists(st.sampled_from(LEVELS), min_size=num_frames, max_size=num_frames)) for _ in labels]
    short_by = data.draw(st.sampled_from([Fraction(0), hop_ms / 2, hop_ms / 7]))
    defaults = {"threshold": 0.5, "merge_window_ms": 30, "min_duration_ms": 20}
    rules = [
        label
        | {"name": f"label {number}", "client_min_duration_ms": client["min_duration_ms"]}
        | {
            key: next(value for value in (client[key], label[key], default) if value is not None)
            for key, default in defaults.items()
        }
        for number, label in enumerate(labels)
    ]
    own = [
        {key: value for key, value in label.items() if value is not None} | {"name": f"label {number}"}
        for number, label in enumerate(labels)
    ]
    manifest = make_manifest(own, **defaults)
    track = track_of(columns, hop_ms, short_by)
    edges = [i * hop_ms for i in range(num_frames)] + [num_frames * hop_ms - short_by]
    expected = [
        detection
        for column, rule in enumerate(rules)
        if rule["reported"]
        for detection in by_intervals(track, edges, column, rule)
    ]
    detections = find_detections(track, manifest, DetectionConfig(**client))
    assert detections == sorted(expected, key=lambda d: (d.start_ms, d.end_ms, d.artifact_type))
    for detection in detections:
        assert 0 <= detection.start_ms < detection.end_ms <= max(1, math.ceil(edges[-1]))
        assert 0 <= detection.confidence <= 1


def test_the_merge_example_of_the_contract() -> None:
    """glitch: 1000–1100, 1150–1250, 1280–1380 ms become one with a merge window of 200."""
    scores = [0.0] * 150
    for first, last in ((100, 110), (115, 125), (128, 138)):
        scores[first:last] = [0.9] * (last - first)
    track = track_of([scores], Fraction(10))
    manifest = make_manifest([{"name": "glitch"}])

    def times(merge_window_ms: int) -> list[tuple[int, int]]:
        return [(d.start_ms, d.end_ms) for d in find_detections(track, manifest, DetectionConfig(0.5, merge_window_ms))]

    assert times(0) == [(1000, 1100), (1150, 1250), (1280, 1380)]
    assert times(200) == times(50) == [(1000, 1380)]
    assert times(49) == times(30) == [(1000, 1100), (1150, 1380)]
    assert times(29) == times(0)


def test_runs_merges_and_spans_match_values_worked_out_by_hand() -> None:
    scores = np.array([0.6, 0.4, 0.5, 0.2, 0.4, 0.9], np.float32)
    edges = np.array([0.0, 10, 20, 30, 40, 50, 60])

    def spans(
        merge_window_ms: float, min_duration_ms: float, threshold: float = 0.5, ratio: float = 1.0
    ) -> list[tuple[int, int]]:
        whole = find_spans(
            scores,
            edges,
            threshold=threshold,
            merge_window_ms=merge_window_ms,
            min_duration_ms=min_duration_ms,
            hysteresis_ratio=ratio,
        )
        by_block = SpanFinder(
            threshold=threshold,
            merge_window_ms=merge_window_ms,
            min_duration_ms=min_duration_ms,
            hysteresis_ratio=ratio,
        )
        for first, last in ((0, 1), (1, 1), (1, 4), (4, 6)):
            by_block.add(to_levels(scores[first:last]), edges[first : last + 1])
        ends = by_block.finish()
        assert [(span["first"], span["last"]) for span in ends] == whole
        assert [(span["start_ms"], span["end_ms"]) for span in ends] == [(edges[a], edges[b]) for a, b in whole]
        assert [span["peak"] for span in ends] == [to_levels(scores[a:b].max()) for a, b in whole]
        return whole

    assert spans(0, 0, ratio=0.8) == [(0, 3), (4, 6)]
    assert spans(0, 0, threshold=0.95) == []
    assert spans(0, 0, threshold=0.0) == [(0, 6)]
    assert spans(0, 10) == [(0, 1), (2, 3), (5, 6)]
    assert spans(10, 10.5) == spans(10, 30) == [(0, 3)]
    assert spans(10, 31) == []
    assert spans(20, 60) == [(0, 6)]


@pytest.mark.parametrize(
    ("min_duration_ms", "expected"), [(None, True), (0, True), (50, True), (51, False), (100, False), (1000, False)]
)
def test_a_point_counts_as_50_ms_long_for_the_clients_minimum(min_duration_ms: int | None, expected: bool) -> None:
    assert POINT_MS == 50
    manifest = make_manifest([{"name": "click", "point": True}, {"name": "hum"}])
    track = track_of([[0, 1, 0], [0, 1, 0]], Fraction(10))
    detections = find_detections(track, manifest, DetectionConfig(min_duration_ms=min_duration_ms))
    assert (Detection("click", 10, 20, 1.0) in detections) == expected


@pytest.mark.parametrize("rule", [{"min_duration_ms": 1000}, {}])
def test_the_models_own_minimum_never_hides_a_point(rule: dict[str, Any]) -> None:
    manifest = make_manifest([{"name": "click", "point": True} | rule], min_duration_ms=1000)
    track = track_of([[0, 1, 0]], Fraction(10))
    assert find_detections(track, manifest, DetectionConfig(0.5)) == [Detection("click", 10, 20, 1.0)]


def test_merged_points_last_as_long_as_they_last() -> None:
    """Two clicks become one event of 120 ms: a minimum of 120 keeps it, as its reported times are that far apart."""
    manifest = make_manifest([{"name": "click", "point": True}])
    track = track_of([[1.0, *[0.0] * 10, 1.0]], Fraction(10))
    detections = find_detections(track, manifest, DetectionConfig(merge_window_ms=100, min_duration_ms=120))
    assert detections == [Detection("click", 0, 120, 1.0)]
    assert find_detections(track, manifest, DetectionConfig(merge_window_ms=100, min_duration_ms=121)) == []


@pytest.mark.parametrize(("threshold", "expected"), [(None, [(0, 20)]), (0.2, [(0, 30)]), (0.9, [])])
def test_the_clients_threshold_overrides_a_labels_threshold(threshold: float | None, expected: list) -> None:
    manifest = make_manifest([{"name": "a", "threshold": 0.6}], threshold=0.8, min_duration_ms=0)
    track = track_of([[0.7, 0.6, 0.3]], Fraction(10))
    detections = find_detections(track, manifest, DetectionConfig(threshold=threshold))
    assert [(d.start_ms, d.end_ms) for d in detections] == expected


def test_times_round_outwards_and_stay_inside() -> None:
    track = ScoreTrack(np.array([0, 0.2, 0.4, 1.9, 2.1]), np.array([[0], [1], [0], [1]], np.float32))
    detections = find_detections(track, make_manifest([{"name": "a"}]), DetectionConfig(0.5, 0, 0))
    assert [(d.start_ms, d.end_ms) for d in detections] == [(0, 1), (1, 3)]


def test_a_detection_lasts_at_least_a_millisecond() -> None:
    """A run that has no length after rounding, at a border that float64 cannot represent."""
    track = ScoreTrack(np.array([0.0, 999.9999999, 1000.0000001]), np.array([[0], [1]], np.float32))
    detections = find_detections(track, make_manifest([{"name": "a"}]), DetectionConfig(0.5, 0, 0))
    assert [(d.start_ms, d.end_ms) for d in detections] == [(1000, 1001)]


def test_detections_come_in_order_of_their_start() -> None:
    manifest = make_manifest([{"name": "b"}, {"name": "a"}])
    track = track_of([[0, 1, 0, 1], [1, 1, 0, 1]], Fraction(100))
    detections = find_detections(track, manifest, DetectionConfig(0.5, 0, 0))
    assert [(d.artifact_type, d.start_ms) for d in detections] == [("a", 0), ("b", 100), ("a", 300), ("b", 300)]
