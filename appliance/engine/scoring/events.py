"""From scores to detections: threshold, merge, minimum duration.

One label at a time: frames at or above the threshold form runs; runs a merge window or less apart join; spans
shorter than the minimum duration go. The confidence is the highest score inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from appliance.engine.models.manifest import Defaults, Label, Manifest
from appliance.engine.scoring.track import TOLERANCE_MS, ScoreTrack


@dataclass(frozen=True)
class Detection:
    """An event in a recording. Times are whole milliseconds of the original, ``start_ms < end_ms``."""

    artifact_type: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True)
class DetectionConfig:
    """What a client set; None where it set nothing, so that the model's own rules apply."""

    threshold: float | None = None
    merge_window_ms: int | None = None
    min_duration_ms: int | None = None

    def over(self, rule: Defaults) -> Defaults:
        """``rule`` with the client's word in place where there is one."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return rule.model_copy(update=given)


def find_detections(track: ScoreTrack, manifest: Manifest, config: DetectionConfig) -> list[Detection]:
    """The detections of one recording in order of their start.

    track : scores of shape (num_segments, num_labels), columns in the manifest's order.
    """
    found = [
        detection
        for column, label in enumerate(manifest.labels)
        if label.reported
        for detection in _detections_of(label, track, track.scores[:, column], manifest.rule_of(label), config)
    ]
    return sorted(found, key=lambda d: (d.start_ms, d.end_ms, d.artifact_type))


def _detections_of(
    label: Label, track: ScoreTrack, scores: np.ndarray, rule: Defaults, config: DetectionConfig
) -> list[Detection]:
    rule = config.over(rule)
    min_duration_ms = 0 if label.point else rule.min_duration_ms
    runs = find_runs(scores, rule.threshold, label.hysteresis_ratio)
    spans = merge_runs(runs, track.edges_ms, rule.merge_window_ms)
    return [
        _detection(label.name, start_ms, end_ms, float(scores[first:last].max()))
        for first, last in spans
        for start_ms, end_ms in [(track.edges_ms[first], track.edges_ms[last])]
        if end_ms - start_ms >= min_duration_ms - TOLERANCE_MS
    ]


def find_runs(scores: np.ndarray, threshold: float, hysteresis_ratio: float = 1.0) -> list[tuple[int, int]]:
    """Half-open ranges of segments at or above ``threshold * hysteresis_ratio`` that reach the threshold somewhere.

    scores : (num_segments,) in [0, 1].
    """
    inside = scores >= np.float32(threshold * hysteresis_ratio)
    steps = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    runs = zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True)
    return [(first, last) for first, last in runs if scores[first:last].max() >= np.float32(threshold)]


def merge_runs(runs: Sequence[tuple[int, int]], edges_ms: np.ndarray, merge_window_ms: float) -> list[tuple[int, int]]:
    """Join neighbouring runs whose gap is at most ``merge_window_ms``.

    edges_ms : (num_segments + 1,) times of the segments' borders.
    """
    merged: list[tuple[int, int]] = []
    for first, last in runs:
        if merged and edges_ms[first] - edges_ms[merged[-1][1]] <= merge_window_ms + TOLERANCE_MS:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged


def _detection(name: str, start_ms: float, end_ms: float, confidence: float) -> Detection:
    start = math.floor(start_ms + TOLERANCE_MS)
    end = max(math.ceil(end_ms - TOLERANCE_MS), start + 1)
    return Detection(name, start, end, round(min(max(confidence, 0.0), 1.0), 4))
