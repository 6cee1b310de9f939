"""Scores as whole numbers: 16 bits each, and their times in whole microseconds.

Detections are found in these, never in the floats that the model gave. So what is kept of a recording, two bytes for
each score, gives exactly the detections that the worker found. Imports numpy alone, as ``spans`` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

TOP = 65_535  # the level of the score 1


def to_levels(scores: np.ndarray) -> np.ndarray:
    """Return the nearest level of each score, as uint16. A score that is not below another gets no lower level."""
    return np.rint(np.clip(scores, 0.0, 1.0).astype(np.float32, copy=False) * np.float32(TOP)).astype(np.uint16)


def to_level(score: float) -> np.uint16:
    """Return the level of one score, by the same rule: a threshold is compared at its own level."""
    return np.uint16(to_levels(np.array(score, np.float32)))


@dataclass(frozen=True)
class Levels:
    """Consecutive segments of a recording's scores.

    edges_us : (num_segments + 1,) int64, rising, the times of the segments' borders in microseconds.
    levels : (num_labels, num_segments) uint16.
    """

    edges_us: np.ndarray
    levels: np.ndarray

    @classmethod
    def of(cls, edges_ms: np.ndarray, scores: np.ndarray) -> Self:
        """Return the levels of scores (num_segments, num_labels) with their edges in milliseconds."""
        return cls(np.rint(1000.0 * edges_ms).astype(np.int64), to_levels(scores).T)

    @property
    def edges_ms(self) -> np.ndarray:
        """The borders in milliseconds, (num_segments + 1,) float64."""
        return self.edges_us / 1000.0
