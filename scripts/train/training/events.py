"""From scores to events by the appliance's own rule, and from events to figures; one recording at a time.

Detection uses ``appliance.engine.scoring.spans``, which imports only numpy. So what is calibrated here is what the
appliance reports.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appliance.engine.scoring.spans import find_spans
from training.labels import FRAME_HOP_SAMPLES, LABELS, SAMPLE_RATE_HZ

FRAME_SECONDS = FRAME_HOP_SAMPLES / SAMPLE_RATE_HZ
POINTS = {"click"}
ONSET_COLLAR_SECONDS = 0.1
OFFSET_COLLAR_SECONDS = 0.2


@dataclass(frozen=True)
class Rule:
    """How one label's scores become events."""

    threshold: float = 0.5
    merge_seconds: float = 0.2
    min_seconds: float = 0.05
    hysteresis_ratio: float = 1.0


@dataclass(frozen=True)
class Event:
    """A detection or a true fault, in seconds."""

    label: str
    start: float
    end: float
    confidence: float = 1.0


def detect(scores: np.ndarray, rules: dict[str, Rule]) -> list[Event]:
    """Return the events of scores (frames, labels) in [0, 1], label by label. The default rule is ``Rule()``."""
    edges = FRAME_SECONDS * np.arange(len(scores) + 1)
    events = []
    for column, label in enumerate(LABELS):
        rule = rules.get(label, Rule())
        spans = find_spans(
            scores[:, column],
            1000 * edges,
            threshold=rule.threshold,
            merge_window_ms=1000 * rule.merge_seconds,
            min_duration_ms=0 if label in POINTS else 1000 * rule.min_seconds,
            hysteresis_ratio=rule.hysteresis_ratio,
        )
        for first, last in spans:
            confidence = float(scores[first:last, column].max())
            events.append(Event(label, float(edges[first]), float(edges[last]), confidence))
    return events


def matched(detections: list[Event], faults: list[Event]) -> tuple[list[bool], list[bool]]:
    """Return which detections and which true faults pair up, the most confident detection first.

    A pair has one label, onsets within 100 ms, and ends within the larger of 200 ms and half the fault.
    """
    right, hit = [False] * len(detections), [False] * len(faults)
    for i in sorted(range(len(detections)), key=lambda k: -detections[k].confidence):
        for j, fault in enumerate(faults):
            if not hit[j] and _fits(detections[i], fault):
                right[i] = hit[j] = True
                break
    return right, hit


def _fits(detection: Event, fault: Event) -> bool:
    collar = max(OFFSET_COLLAR_SECONDS, 0.5 * (fault.end - fault.start))
    return (
        detection.label == fault.label
        and abs(detection.start - fault.start) <= ONSET_COLLAR_SECONDS
        and abs(detection.end - fault.end) <= collar
    )


@dataclass
class Tally:
    """Counts by label, and from them precision, recall and F1."""

    true_positives: dict[str, int]
    detections: dict[str, int]
    faults: dict[str, int]
    clean_hours: float = 0.0
    clean_false: int = 0

    @classmethod
    def empty(cls) -> Tally:
        """Return a tally of no recordings."""
        return cls(dict.fromkeys(LABELS, 0), dict.fromkeys(LABELS, 0), dict.fromkeys(LABELS, 0))

    def add(self, detections: list[Event], faults: list[Event], seconds: float) -> None:
        """Count one recording. One without faults counts towards false alarms per hour."""
        right, _ = matched(detections, faults)
        for event, is_right in zip(detections, right, strict=True):
            self.detections[event.label] += 1
            self.true_positives[event.label] += is_right
        for event in faults:
            self.faults[event.label] += 1
        if not faults:
            self.clean_hours += seconds / 3600
            self.clean_false += len(detections)

    def f1(self, label: str) -> float:
        """F1 of one label, 0 if it has neither faults nor detections."""
        return 2 * self.true_positives[label] / max(1, self.detections[label] + self.faults[label])

    @property
    def macro_f1(self) -> float:
        """Mean of the labels' F1."""
        return float(np.mean([self.f1(label) for label in LABELS]))

    @property
    def false_per_hour(self) -> float:
        """Detections per hour in recordings without faults."""
        return self.clean_false / max(1e-9, self.clean_hours)

    def table(self) -> str:
        """Return the counts as a Markdown table for the model card."""
        lines = ["| label | precision | recall | F1 | faults |", "|---|---|---|---|---|"]
        for label in LABELS:
            right, detections, faults = self.true_positives[label], self.detections[label], self.faults[label]
            precision, recall = right / max(1, detections), right / max(1, faults)
            lines.append(f"| {label} | {precision:.2f} | {recall:.2f} | {self.f1(label):.2f} | {faults} |")
        lines.append(
            f"\nmacro-F1 {self.macro_f1:.3f}, {self.false_per_hour:.1f} false alarms an hour on "
            f"{self.clean_hours:.2f} h without faults"
        )
        return "\n".join(lines)
