"""From scores to detections: threshold, merge, minimum duration.

Each label is handled alone: frames at or above the threshold form runs, runs a merge window or less apart are joined,
and spans shorter than the minimum duration are dropped. A point, such as a click, is dropped only by the client's own
minimum, and counts as at least POINT_MS long there. The confidence is the highest score inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from appliance.engine.models.manifest import Defaults, Manifest
from appliance.engine.scoring.levels import TOP, Levels
from appliance.engine.scoring.spans import SPAN, TOLERANCE_MS, SpanFinder
from appliance.engine.scoring.track import ScoreTrack

POINT_MS = 50  # a click has no duration of its own: the usual minimum of 50 ms keeps it, 1000 ms drops it


@dataclass(frozen=True)
class Detection:
    """An event in a recording. Times are whole milliseconds of the original, ``start_ms < end_ms``."""

    artifact_type: str
    start_ms: int
    end_ms: int
    confidence: float  # highest score inside, 0 to 1
    source: str = "model"  # or stream: the decoder knows it (see lost.py)


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
        return rule.model_copy(update=self.choices)

    @property
    def choices(self) -> dict[str, Any]:
        """The keys that the client set."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class LabelRule:
    """A label that can be reported, and how its scores become detections if the client sets nothing."""

    name: str
    point: bool
    hysteresis_ratio: float
    threshold: float
    merge_window_ms: int
    min_duration_ms: int


def rules_of(manifest: Manifest) -> list[LabelRule]:
    """Return the rule of each label that the model reports, in the manifest's order."""
    return [
        LabelRule(label.name, label.point, label.hysteresis_ratio, **manifest.rule_of(label).model_dump())
        for label in manifest.labels
        if label.reported
    ]


class DetectionFinder:
    """Finds the detections of one recording while its levels come. It keeps the detections and no levels.

    The rows of the levels are the labels of ``rules``.
    """

    def __init__(self, rules: Sequence[LabelRule], config: DetectionConfig) -> None:
        self._names = sorted(rule.name for rule in rules)
        self._places = [self._names.index(rule.name) for rule in rules]
        self._finders = [_finder(rule, config) for rule in rules]
        self.num_detections = 0  # known when it is finished

    def add(self, piece: Levels) -> None:
        """Add the next segments."""
        edges_ms = piece.edges_ms
        for finder, levels in zip(self._finders, piece.levels, strict=True):
            finder.add(levels, edges_ms)

    def finish(self, most: int | None = None) -> list[Detection]:
        """Return the detections in order of their start, and the ``most`` strongest if there are more."""
        by_label = [finder.finish() for finder in self._finders]
        spans = np.concatenate([np.empty(0, SPAN), *by_label])
        self.num_detections = len(spans)
        labels = np.repeat(self._places, [len(spans) for spans in by_label])
        confidences = np.round(spans["peak"] / TOP, 4)
        if most is not None and len(spans) > most:  # before the sort, which would take longer than all the rest
            strong = confidences >= np.partition(confidences, -most)[-most]
            spans, labels, confidences = spans[strong], labels[strong], confidences[strong]
        starts = np.floor(spans["start_ms"] + TOLERANCE_MS).astype(np.int64)
        ends = np.maximum(np.ceil(spans["end_ms"] - TOLERANCE_MS).astype(np.int64), starts + 1)
        order = np.lexsort((labels, ends, starts))
        if most is not None and len(order) > most:  # several of the weakest are equally strong
            order = order[np.sort(np.argsort(-confidences[order], kind="stable")[:most])]
        columns = (column[order].tolist() for column in (labels, starts, ends, confidences))
        return [Detection(self._names[label], *row) for label, *row in zip(*columns, strict=True)]


def find_detections(track: ScoreTrack, manifest: Manifest, config: DetectionConfig) -> list[Detection]:
    """Return the detections of one recording in order of their start.

    track : scores of shape (num_segments, num_labels), columns in the manifest's order.
    """
    finder = DetectionFinder(rules_of(manifest), config)
    finder.add(Levels.of(track.edges_ms, track.scores[:, manifest.reported_columns]))
    return finder.finish()


def strongest(detections: Sequence[Detection], count: int) -> list[Detection]:
    """Return up to ``count`` detections, those with the highest confidence, in the order in which they came."""
    by_confidence = sorted(range(len(detections)), key=lambda place: -detections[place].confidence)
    return [detections[place] for place in sorted(by_confidence[:count])]


def _finder(rule: LabelRule, config: DetectionConfig) -> SpanFinder:
    choices = config.choices
    return SpanFinder(
        threshold=choices.get("threshold", rule.threshold),
        merge_window_ms=choices.get("merge_window_ms", rule.merge_window_ms),
        min_duration_ms=shortest_point_ms(config)
        if rule.point
        else choices.get("min_duration_ms", rule.min_duration_ms),
        hysteresis_ratio=rule.hysteresis_ratio,
    )


def shortest_point_ms(config: DetectionConfig) -> int:
    """Return the minimum duration for points. Several points that were merged last as long as they last."""
    client_minimum = config.min_duration_ms or 0
    return client_minimum if client_minimum > POINT_MS else 0
