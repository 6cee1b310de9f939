"""Scoring by events: which detections are right, which events were detected, and how reliable a confidence is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from appliance.engine.training import figures
from appliance.engine.training.figures import Bin, Counts
from evaluation.labels import LABELS

ONSET_COLLAR_SECONDS = 0.1
OFFSET_COLLAR_SECONDS = 0.2
POINT_LABELS = ("click",)


@dataclass(frozen=True)
class Span:
    label: str
    start_seconds: float
    end_seconds: float
    confidence: float = 1.0
    mechanism: str = ""


@dataclass
class ScoredFile:
    """A file of the set with its detections.

    right : for each detection, whether it matches an event. found : for each event, whether a detection matches it.
    onset_errors : label and absolute error in seconds of each match.
    """

    entry: dict
    events: list[Span]
    detections: list[Span]
    right: list[bool]
    found: list[bool]
    num_ignored: int = 0
    error: str | None = None
    onset_errors: list[tuple[str, float]] = field(default_factory=list)
    counts: dict[str, Counts] = field(default_factory=dict)


def fits(event: Span, detection: Span) -> bool:
    """Onset within 100 ms; offset, unless the label is a point, within the larger of 200 ms and half the event."""
    if event.label != detection.label or abs(event.start_seconds - detection.start_seconds) > ONSET_COLLAR_SECONDS:
        return False
    collar = max(OFFSET_COLLAR_SECONDS, 0.5 * (event.end_seconds - event.start_seconds))
    return event.label in POINT_LABELS or abs(event.end_seconds - detection.end_seconds) <= collar


def match(events: list[Span], detections: list[Span]) -> dict[int, int]:
    """Return the largest one-to-one matching, as {detection index: event index}."""
    choices = [[e for e, event in enumerate(events) if fits(event, detection)] for detection in detections]
    taken: dict[int, int] = {}  # event -> detection

    def place(detection: int, tried: set[int]) -> bool:
        for event in choices[detection]:
            if event not in tried:
                tried.add(event)
                if event not in taken or place(taken[event], tried):
                    taken[event] = detection
                    return True
        return False

    for detection in np.argsort([-d.confidence for d in detections], kind="stable").tolist():
        place(detection, set())
    return {detection: event for event, detection in taken.items()}


def score_file(entry: dict, answer: dict) -> ScoredFile:
    """entry : a line of truth.jsonl; answer : an item of ``files`` that ``appliance detect --format json`` prints."""
    events = [Span(e["label"], e["start_seconds"], e["end_seconds"], 1.0, e["mechanism"]) for e in entry["events"]]
    reported = [
        Span(d["artifact_type"], d["start_ms"] / 1000, d["end_ms"] / 1000, d["confidence"])
        for d in answer.get("detections") or []
    ]
    detections = [detection for detection in reported if detection.label not in entry["unsure"]]
    matching = match(events, detections)
    scored = ScoredFile(
        entry, events, detections,
        right=[number in matching for number in range(len(detections))],
        found=[number in matching.values() for number in range(len(events))],
        num_ignored=len(reported) - len(detections),
        error=str(answer["error"]) if answer.get("error") else None,
        onset_errors=[
            (events[e].label, abs(events[e].start_seconds - detections[d].start_seconds)) for d, e in matching.items()
        ],
    )  # fmt: skip
    for label in LABELS:
        hits = sum(ok for event, ok in zip(events, scored.found, strict=True) if event.label == label)
        missed = sum(not ok for event, ok in zip(events, scored.found, strict=True) if event.label == label)
        false = sum(not ok for d, ok in zip(detections, scored.right, strict=True) if d.label == label)
        scored.counts[label] = Counts(hits, missed, false)
    return scored


def total(files: Iterable[ScoredFile], labels: Iterable[str] = LABELS) -> Counts:
    counts = [scored.counts[label] for scored in files for label in labels]
    return Counts(*(sum(getattr(one, name) for one in counts) for name in ("hits", "misses", "alarms")))


def by_label(files: list[ScoredFile]) -> dict[str, Counts]:
    return {label: total(files, [label]) for label in LABELS}


def macro_f1(files: list[ScoredFile]) -> float:
    return float(np.mean([counts.f1 for counts in by_label(files).values()]))


def grouped(files: list[ScoredFile], key: Callable[[ScoredFile], str]) -> dict[str, list[ScoredFile]]:
    groups: dict[str, list[ScoredFile]] = defaultdict(list)
    for scored in files:
        groups[key(scored)].append(scored)
    return dict(sorted(groups.items()))


def hours(files: list[ScoredFile]) -> float:
    return sum(scored.entry["duration_seconds"] for scored in files) / 3600


def false_alarms_per_hour(files: list[ScoredFile], labels: Iterable[str] = LABELS) -> float:
    return total(files, labels).alarms / max(hours(files), 1e-9)


def by_mechanism(files: list[ScoredFile]) -> dict[str, Counter]:
    """Return for each mechanism the numbers of events and hits, and the labels of detections at missed events."""
    table: dict[str, Counter] = defaultdict(Counter)
    for scored in files:
        for event, ok in zip(scored.events, scored.found, strict=True):
            row = table[event.mechanism]
            row["events"] += 1
            row["found"] += ok
            if not ok:
                there = [
                    d.label
                    for d in scored.detections
                    if d.start_seconds < event.end_seconds + ONSET_COLLAR_SECONDS
                    and d.end_seconds > event.start_seconds - ONSET_COLLAR_SECONDS
                ]
                row[f"called {there[0]}" if there else "not noticed"] += 1
    return dict(sorted(table.items()))


def onset_errors(files: Iterable[ScoredFile], labels: Iterable[str] = LABELS) -> list[float]:
    """Return the absolute onset error in seconds of each event that was detected."""
    return [error for scored in files for label, error in scored.onset_errors if label in labels]


def confidences(files: Iterable[ScoredFile]) -> list[tuple[str, float, bool]]:
    """Return the label and the confidence of each detection, and whether it is right."""
    return [
        (detection.label, detection.confidence, ok)
        for scored in files
        for detection, ok in zip(scored.detections, scored.right, strict=True)
    ]


def calibration_error(files: list[ScoredFile]) -> tuple[float, list[Bin]]:
    """Expected calibration error over the confidences of detections, and its bins (confidence, share right, count)."""
    peaks = [(confidence, ok) for _, confidence, ok in confidences(files)]
    return figures.calibration_error(peaks), figures.calibration_bins(peaks)
