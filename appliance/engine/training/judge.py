"""Compares detections with what people marked: hits, misses, false alarms, and what they mean for a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from appliance.engine.scoring.events import Detection
from appliance.engine.training.figures import Counts, poisson_upper
from appliance.engine.training.intervals import total_ms
from appliance.engine.training.request import Said, Stretch
from appliance.engine.training.split import negatives_of

COLLAR_MS = 200  # a detection this near to an event is of it
RESAMPLINGS = 1000

Kind = Literal["hit", "miss", "alarm", "unknown"]


@dataclass(frozen=True)
class Outcome:
    """A hit, a missed event, a false alarm, or a detection in a stretch that nobody listened to.

    The times are the event's, or the detection's if there is none; ``confidence`` is None for a missed event.
    """

    kind: Kind
    start_ms: int
    end_ms: int
    confidence: float | None


@dataclass
class Tally(Counts):
    """What was counted for one label in some recordings, and in how much reviewed time without the label."""

    absent_ms: int = 0
    peaks: list[tuple[float, bool]] = field(default_factory=list)  # confidence of a detection, and whether it is right

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.hits + other.hits,
            self.misses + other.misses,
            self.alarms + other.alarms,
            self.absent_ms + other.absent_ms,
            self.peaks + other.peaks,
        )

    @property
    def alarms_per_hour(self) -> float:
        """False alarms in an hour that is reviewed and without the label."""
        return self.alarms / max(self.absent_ms / 3_600_000, 1e-9)

    @property
    def most_alarms_per_hour(self) -> float:
        """What the true rate is below with 95 % confidence."""
        return poisson_upper(self.alarms) / max(self.absent_ms / 3_600_000, 1e-9)


def outcomes(recording: Said, label: str, detections: Sequence[Detection]) -> list[Outcome]:
    """Compare one label's detections in a recording with its events, one to one, in order of time.

    A detection that is no hit is a false alarm if its middle is where the label is known to be absent.
    """
    left = sorted((e for e in recording.events if e.label == label), key=lambda e: (e.start_ms, e.end_ms))
    negatives = negatives_of(recording, label)
    out = []
    for detection in detections:
        hit = next((event for event in left if _near(event, detection)), None)
        middle = (detection.start_ms + detection.end_ms) // 2
        if hit:
            left.remove(hit)
            out.append(Outcome("hit", hit.start_ms, hit.end_ms, detection.confidence))
        else:
            kind: Kind = "alarm" if any(start <= middle < end for start, end in negatives) else "unknown"
            out.append(Outcome(kind, detection.start_ms, detection.end_ms, detection.confidence))
    return out + [Outcome("miss", event.start_ms, event.end_ms, None) for event in left]


def tally(recording: Said, label: str, detections: Sequence[Detection]) -> Tally:
    """Count the outcomes of one label's detections in a recording."""
    rows = outcomes(recording, label, detections)
    counts = Counter(row.kind for row in rows)
    return Tally(
        hits=counts["hit"],
        misses=counts["miss"],
        alarms=counts["alarm"],
        absent_ms=total_ms(negatives_of(recording, label)),
        peaks=[
            (row.confidence, row.kind == "hit") for row in rows if row.confidence is not None and row.kind != "unknown"
        ],
    )


def differences(first: Sequence[Outcome], second: Sequence[Outcome]) -> list[tuple[Outcome, int]]:
    """Return what only one of two has reported, of the same label and recording, and which: 0 or 1. In order of time.

    Of both, an event is found or not; any other detection is the other's too if one of them is near.
    """
    mine = [[row for row in rows if row.kind != "miss"] for rows in (first, second)]
    alone = []
    for number, rows in enumerate(mine):
        others = mine[1 - number]
        for row in rows:
            others_too = (
                (row.start_ms, row.end_ms, "hit") == (other.start_ms, other.end_ms, other.kind)
                if row.kind == "hit"
                else other.kind != "hit" and _near(row, other)
                for other in others
            )
            if not any(others_too):
                alone.append((row, number))
    return sorted(alone, key=lambda one: (one[0].start_ms, one[0].end_ms, one[1]))


def _near(event: Stretch | Outcome, detection: Detection | Outcome) -> bool:
    return event.start_ms - COLLAR_MS < detection.end_ms and detection.start_ms < event.end_ms + COLLAR_MS


def total(tallies: Sequence[Tally]) -> Tally:
    """Return the sum."""
    return sum(tallies, Tally())


def f1_interval(by_group: Mapping[str, Tally], seed: int) -> tuple[float, float]:
    """Return the 95 % interval of F1, by drawing as many groups as there are, again and again."""
    if not by_group:
        return 0.0, 1.0
    return _interval(_drawn(by_group, seed)["f1"])


def change_intervals(
    first: Mapping[str, Tally], second: Mapping[str, Tally], seed: int
) -> dict[str, tuple[float, float]]:
    """Return the 95 % intervals of how much the second's f1, precision and recall are above the first's.

    Both have the same groups, and the same groups are drawn of both.
    """
    before, after = (_drawn(by_group, seed) for by_group in (first, second))
    return {name: _interval(after[name] - before[name]) for name in before}


def _drawn(by_group: Mapping[str, Tally], seed: int) -> dict[str, np.ndarray]:
    """Return the figures of as many groups as there are, drawn again and again: each (RESAMPLINGS,)."""
    counts = np.array([(t.hits, t.misses, t.alarms) for _, t in sorted(by_group.items())]).reshape(-1, 3)
    drawn = np.random.default_rng(seed).integers(len(counts), size=(RESAMPLINGS, len(counts)))
    hits, misses, alarms = counts[drawn].sum(axis=1).T
    return {
        "f1": 2 * hits / np.maximum(1, 2 * hits + misses + alarms),
        "precision": hits / np.maximum(1, hits + alarms),
        "recall": hits / np.maximum(1, hits + misses),
    }


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
