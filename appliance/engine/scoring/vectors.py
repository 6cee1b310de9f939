"""The vectors of a search index as one matrix, so that a search is one matrix product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class VectorMatrix:
    """A matrix that grows by rows. Views returned earlier do not change. For one thread at a time."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self._rows = np.empty((0, 0), np.float32)

    @property
    def rows(self) -> np.ndarray:
        """(num_rows, num_dimensions) float32, in the order of ``keys``."""
        return self._rows[: len(self.keys)]

    def append(self, keys: Sequence[str], rows: np.ndarray) -> None:
        """Add rows, (num_added, num_dimensions) float32, under their keys."""
        used, needed = len(self.keys), len(self.keys) + len(keys)
        if needed > len(self._rows):
            grown = np.empty((2 * needed, rows.shape[1]), np.float32)
            if used:
                grown[:used] = self._rows[:used]
            self._rows = grown
        self._rows[used:needed] = rows
        self.keys += keys


def nearest(similarities: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the ``k`` largest of (num_rows,) similarities, largest first."""
    k = min(k, len(similarities))
    if k == 0:
        return np.empty(0, np.intp)
    largest = np.argpartition(-similarities, k - 1)[:k]
    return largest[np.argsort(-similarities[largest], kind="stable")]
