"""What counts of hits, misses and false alarms mean, and how far confidences can be trusted. Needs numpy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

LEAST_SCORE = 1e-6


@dataclass
class Counts:
    """Numbers of events that were detected, of events that were missed, and of false alarms."""

    hits: int = 0
    misses: int = 0
    alarms: int = 0

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


class Bin(NamedTuple):
    """Detections with confidences near each other: their mean, the share that is right, and their number."""

    confidence: float
    right: float
    size: int


def calibration_bins(peaks: Sequence[tuple[float, bool]], num_bins: int = 10) -> list[Bin]:
    """Return the bins that have detections; ``peaks`` are their confidences, and whether they are right."""
    if not peaks:
        return []
    confidences, right = (np.array(column, float) for column in zip(*peaks, strict=True))
    which = np.minimum((confidences * num_bins).astype(int), num_bins - 1)
    return [
        Bin(float(confidences[which == b].mean()), float(right[which == b].mean()), int(np.sum(which == b)))
        for b in range(num_bins)
        if np.any(which == b)
    ]


def calibration_error(peaks: Sequence[tuple[float, bool]]) -> float:
    """Return by how much confidences differ from the share that is right, weighed by their number; 0 without any."""
    bins = calibration_bins(peaks)
    return sum(abs(one.confidence - one.right) * one.size for one in bins) / max(1, len(peaks))


def logit(p: np.ndarray) -> np.ndarray:
    """Return the logit, finite for 0 and 1 too."""
    p = np.clip(p.astype(np.float64), LEAST_SCORE, 1 - LEAST_SCORE)
    return np.log(p) - np.log1p(-p)


def poisson_upper(count: int, confidence: float = 0.95) -> float:
    """Return the mean below which a Poisson count lies with this confidence: about 3 for none."""
    low, high = 0.0, 10.0 + 3.0 * count
    for _ in range(60):
        middle = (low + high) / 2
        below = sum(math.exp(k * math.log(middle) - middle - math.lgamma(k + 1)) for k in range(count + 1))
        low, high = (middle, high) if below > 1 - confidence else (low, middle)
    return high
