"""Compares detections with what people marked: hits, misses, false alarms, and what they mean for a label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from appliance.engine.scoring.events import Detection
from appliance.engine.training.intervals import total_ms
from appliance.engine.training.request import Said, Stretch
from appliance.engine.training.split import negatives_of

COLLAR_MS = 200  # a detection this near to an event is of it
RESAMPLINGS = 1000


@dataclass
class Tally:
    """What was counted for one label in some recordings, and in how much reviewed time without the label."""

    hits: int = 0
    misses: int = 0
    alarms: int = 0
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
    def precision(self) -> float:
        """Share of the detections that are right; 0 without any."""
        return self.hits / max(1, self.hits + self.alarms)

    @property
    def recall(self) -> float:
        """Share of the events that were detected; 0 without any."""
        return self.hits / max(1, self.hits + self.misses)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.hits / max(1, 2 * self.hits + self.misses + self.alarms)

    @property
    def alarms_per_hour(self) -> float:
        """False alarms in an hour that is reviewed and without the label."""
        return self.alarms / max(self.absent_ms / 3_600_000, 1e-9)

    @property
    def most_alarms_per_hour(self) -> float:
        """What the true rate is below with 95 % confidence."""
        return poisson_upper(self.alarms) / max(self.absent_ms / 3_600_000, 1e-9)


def tally(recording: Said, label: str, detections: Sequence[Detection]) -> Tally:
    """Compare one label's detections in a recording with its events, one to one, in order of time.

    A detection that is no hit counts as a false alarm if its middle is where the label is known to be absent.
    """
    events = sorted((e for e in recording.events if e.label == label), key=lambda e: (e.start_ms, e.end_ms))
    negatives = negatives_of(recording, label)
    out = Tally(absent_ms=total_ms(negatives))
    left = list(events)
    for detection in detections:
        hit = next((event for event in left if _near(event, detection)), None)
        if hit:
            left.remove(hit)
            out.hits += 1
        middle = (detection.start_ms + detection.end_ms) // 2
        wrong = hit is None and any(start <= middle < end for start, end in negatives)
        out.alarms += wrong
        if hit or wrong:
            out.peaks.append((detection.confidence, hit is not None))
    out.misses = len(left)
    return out


def _near(event: Stretch, detection: Detection) -> bool:
    return event.start_ms - COLLAR_MS < detection.end_ms and detection.start_ms < event.end_ms + COLLAR_MS


def total(tallies: Sequence[Tally]) -> Tally:
    """Return the sum."""
    return sum(tallies, Tally())


def f1_interval(by_group: Mapping[str, Tally], seed: int) -> tuple[float, float]:
    """Return the 95 % interval of F1, by drawing as many groups as there are, again and again."""
    counts = np.array([(t.hits, t.misses, t.alarms) for _, t in sorted(by_group.items())]).reshape(-1, 3)
    if not len(counts):
        return 0.0, 1.0
    drawn = np.random.default_rng(seed).integers(len(counts), size=(RESAMPLINGS, len(counts)))
    hits, misses, alarms = counts[drawn].sum(axis=1).T
    f1 = 2 * hits / np.maximum(1, 2 * hits + misses + alarms)
    low, high = np.quantile(f1, [0.025, 0.975])
    return float(low), float(high)


def poisson_upper(count: int, confidence: float = 0.95) -> float:
    """Return the mean below which a Poisson count lies with this confidence: about 3 for none."""
    low, high = 0.0, 10.0 + 3.0 * count
    for _ in range(60):
        middle = (low + high) / 2
        below = sum(math.exp(k * math.log(middle) - middle - math.lgamma(k + 1)) for k in range(count + 1))
        low, high = (middle, high) if below > 1 - confidence else (low, middle)
    return high


def calibration_error(peaks: Sequence[tuple[float, bool]], bins: int = 10) -> float:
    """Return by how much confidences differ from the share that is right, weighed by their number; 0 without any."""
    if not peaks:
        return 0.0
    confidences, right = (np.array(column, float) for column in zip(*peaks, strict=True))
    which = np.minimum((confidences * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(confidences[which == b].mean() - right[which == b].mean()) * np.mean(which == b)
            for b in range(bins)
            if np.any(which == b)
        )
    )
