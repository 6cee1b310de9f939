"""From scores to detections: threshold, merge, minimum duration.

Each label is handled alone: frames at or above the threshold form runs, runs a merge window or less apart are joined,
and spans shorter than the minimum duration are dropped. A point, such as a click, is dropped only by the client's own
minimum, and counts as at least POINT_MS long there. The confidence is the highest score inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from appliance.engine.models.manifest import Defaults, Label, Manifest
from appliance.engine.scoring.spans import TOLERANCE_MS, Span, SpanFinder
from appliance.engine.scoring.track import ScoreTrack

POINT_MS = 50  # a click has no duration of its own: the usual minimum of 50 ms keeps it, 1000 ms drops it


@dataclass(frozen=True)
class Detection:
    """An event in a recording. Times are whole milliseconds of the original, ``start_ms < end_ms``."""

    artifact_type: str
    start_ms: int
    end_ms: int
    confidence: float  # highest score inside, 0 to 1


@dataclass(frozen=True)
class DetectionConfig:
    """The client's choices. For a key that is None, the model's own rules apply.

    The limits of the values are constants in ``engine.models.manifest``; the API and the command line check them.
    """

    threshold: float | None = None
    merge_window_ms: int | None = None
    min_duration_ms: int | None = None

    def over(self, rule: Defaults) -> Defaults:
        """Return ``rule`` with the client's values in place of its own."""
        choices = {name: value for name, value in asdict(self).items() if value is not None}
        return rule.model_copy(update=choices)


class DetectionFinder:
    """Finds the detections of one recording while its scores come. It keeps the detections and no scores."""

    def __init__(self, manifest: Manifest, config: DetectionConfig) -> None:
        self._finders = [
            (column, label.name, _finder(label, manifest.rule_of(label), config))
            for column, label in enumerate(manifest.labels)
            if label.reported
        ]

    def add(self, edges_ms: np.ndarray, scores: np.ndarray) -> None:
        """Add the next segments.

        edges_ms : (num_segments + 1,) rising. scores : (num_segments, num_labels), columns in the manifest's order.
        """
        for column, _, finder in self._finders:
            finder.add(scores[:, column], edges_ms)

    def finish(self) -> list[Detection]:
        """Return the detections in order of their start."""
        detections = [_detection(name, span) for _, name, finder in self._finders for span in finder.finish()]
        return sorted(detections, key=lambda d: (d.start_ms, d.end_ms, d.artifact_type))


def find_detections(track: ScoreTrack, manifest: Manifest, config: DetectionConfig) -> list[Detection]:
    """Return the detections of one recording in order of their start.

    track : scores of shape (num_segments, num_labels), columns in the manifest's order.
    """
    finder = DetectionFinder(manifest, config)
    finder.add(track.edges_ms, track.scores)
    return finder.finish()


def strongest(detections: Sequence[Detection], count: int) -> list[Detection]:
    """Return up to ``count`` detections, those with the highest confidence, in the order in which they came."""
    by_confidence = sorted(range(len(detections)), key=lambda place: -detections[place].confidence)
    return [detections[place] for place in sorted(by_confidence[:count])]


def _finder(label: Label, own_rule: Defaults, config: DetectionConfig) -> SpanFinder:
    rule = config.over(own_rule)
    return SpanFinder(
        threshold=rule.threshold,
        merge_window_ms=rule.merge_window_ms,
        min_duration_ms=_min_point_ms(config) if label.point else rule.min_duration_ms,
        hysteresis_ratio=label.hysteresis_ratio,
    )


def _min_point_ms(config: DetectionConfig) -> int:
    """Return the minimum duration for points. Several points that were merged last as long as they last."""
    client_minimum = config.min_duration_ms or 0
    return client_minimum if client_minimum > POINT_MS else 0


def _detection(name: str, span: Span) -> Detection:
    start = math.floor(span.start_ms + TOLERANCE_MS)
    end = max(math.ceil(span.end_ms - TOLERANCE_MS), start + 1)
    return Detection(name, start, end, round(min(max(span.peak, 0.0), 1.0), 4))
