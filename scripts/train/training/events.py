"""Scores to events and events to figures, by the appliance's rules; all on arrays of one recording at a time."""

from dataclasses import dataclass

import numpy as np

from .places import FRAME_HOP_SAMPLES, LABELS, SAMPLE_RATE_HZ

FRAME_SECONDS = FRAME_HOP_SAMPLES / SAMPLE_RATE_HZ
POINTS = {"click"}


@dataclass(frozen=True)
class Rule:
    """How one label's scores become events."""

    threshold: float = 0.5
    merge_seconds: float = 0.2
    min_seconds: float = 0.05
    hysteresis_ratio: float = 1.0


@dataclass(frozen=True)
class Event:
    """One detection or one true fault."""

    label: str
    start: float
    end: float
    confidence: float = 1.0


def runs(above: np.ndarray) -> list[tuple[int, int]]:
    """[first, last + 1) of each stretch of True in (frames,) bool."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], above.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def detect(scores: np.ndarray, rules: dict[str, Rule]) -> list[Event]:
    """Events of scores (frames, labels) in [0, 1]."""
    found = []
    for column, label in enumerate(LABELS):
        rule = rules.get(label, Rule())
        s = scores[:, column]
        stretches = [
            (a, b) for a, b in runs(s >= rule.threshold * rule.hysteresis_ratio) if s[a:b].max() >= rule.threshold
        ]
        joined: list[list[int]] = []
        for a, b in stretches:
            if joined and (a - joined[-1][1]) * FRAME_SECONDS <= rule.merge_seconds + 1e-9:
                joined[-1][1] = b
            else:
                joined.append([a, b])
        for a, b in joined:
            if label in POINTS or (b - a) * FRAME_SECONDS >= rule.min_seconds - 1e-9:
                found.append(Event(label, a * FRAME_SECONDS, b * FRAME_SECONDS, float(s[a:b].max())))
    return found


def matched(found: list[Event], true: list[Event]) -> tuple[list[bool], list[bool]]:
    """Which found and which true events pair up: one label, onset within 100 ms, end within 200 ms or half of it."""
    hit_found, hit_true = [False] * len(found), [False] * len(true)
    for i in sorted(range(len(found)), key=lambda k: -found[k].confidence):
        for j, fault in enumerate(true):
            collar = max(0.2, 0.5 * (fault.end - fault.start))
            same = found[i].label == fault.label and not hit_true[j]
            if same and abs(found[i].start - fault.start) <= 0.1 and abs(found[i].end - fault.end) <= collar:
                hit_found[i] = hit_true[j] = True
                break
    return hit_found, hit_true


@dataclass
class Tally:
    """Counts per label, and from them precision, recall and F1."""

    true_positive: dict[str, int]
    found: dict[str, int]
    true: dict[str, int]
    clean_hours: float = 0.0
    clean_false: int = 0

    @classmethod
    def empty(cls) -> "Tally":
        return cls(*(dict.fromkeys(LABELS, 0) for _ in range(3)))

    def add(self, found: list[Event], true: list[Event], seconds: float) -> None:
        """Count one recording; one without faults counts towards false alarms per hour."""
        hit_found, _ = matched(found, true)
        for event, hit in zip(found, hit_found, strict=True):
            self.found[event.label] += 1
            self.true_positive[event.label] += hit
        for event in true:
            self.true[event.label] += 1
        if not true:
            self.clean_hours += seconds / 3600
            self.clean_false += len(found)

    def f1(self, label: str) -> float:
        return 2 * self.true_positive[label] / max(1, self.found[label] + self.true[label])

    @property
    def macro_f1(self) -> float:
        return float(np.mean([self.f1(label) for label in LABELS]))

    @property
    def false_per_hour(self) -> float:
        return self.clean_false / max(1e-9, self.clean_hours)

    def table(self) -> str:
        lines = ["| label | precision | recall | F1 | faults |", "|---|---|---|---|---|"]
        for label in LABELS:
            tp, found, true = self.true_positive[label], self.found[label], self.true[label]
            lines.append(
                f"| {label} | {tp / max(1, found):.2f} | {tp / max(1, true):.2f} | {self.f1(label):.2f} | {true} |"
            )
        lines.append(
            f"\nmacro-F1 {self.macro_f1:.3f}, {self.false_per_hour:.1f} false alarms an hour on "
            f"{self.clean_hours:.2f} h without faults"
        )
        return "\n".join(lines)
