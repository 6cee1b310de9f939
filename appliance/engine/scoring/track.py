"""Scores over time: if windows overlap, their scores for one instant are averaged.

A window's scores are a piecewise-constant function of time, and so is the average of several, for any hop of windows
and frames. So no common grid is needed, and nothing drifts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from appliance.engine.models.manifest import Manifest
from appliance.engine.scoring.spans import TOLERANCE_MS


@dataclass(frozen=True)
class ScoreTrack:
    """The scores of one recording.

    edges_ms : (num_segments + 1,) float64, rising, from 0 to the recording's end.
    scores : (num_segments, num_labels) float32 in [0, 1].
    """

    edges_ms: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class _Window:
    start_ms: float
    end_ms: float
    scores: np.ndarray  # (num_frames, num_labels)


class ScoreAverager:
    """A sink that averages the scores of a recording's windows, which come in order, and passes them on.

    Windows are kept only while a later window may overlap them. ``take`` gets the next segments of the track: their
    edges, (num_segments + 1,) float64 in milliseconds, and their scores, (num_segments, num_labels) float32.
    """

    def __init__(
        self,
        window_ms: float,
        frame_hop_ms: float,
        num_labels: int,
        take: Callable[[np.ndarray, np.ndarray], None],
    ) -> None:
        self._window_ms = window_ms
        self._frame_hop_ms = frame_hop_ms
        self._num_labels = num_labels
        self._take = take
        self._open: deque[_Window] = deque()
        self._settled_ms = 0.0

    @classmethod
    def of(cls, manifest: Manifest, take: Callable[[np.ndarray, np.ndarray], None]) -> Self:
        """Return an averager for the scores of a model."""
        source = manifest.input
        window_ms = 1000.0 * source.window_samples / source.sample_rate_hz
        return cls(window_ms, manifest.frame_hop_ms, len(manifest.labels), take)

    def add(self, start_ms: float, scores: np.ndarray) -> None:
        """Add the next window, which starts at ``start_ms``.

        scores : (num_frames, num_labels) in [0, 1]; frame i covers one frame hop from ``i * hop`` on, and the last
        frame also the rest of the window.
        """
        self._settle(start_ms)
        self._open.append(_Window(start_ms, start_ms + self._window_ms, scores))

    def finish(self, duration_ms: float) -> None:
        """Pass on what is left, cut at the recording's end."""
        self._settle(duration_ms)

    def _settle(self, until_ms: float) -> None:
        """Average the scores before ``until_ms``, which no later window overlaps."""
        if until_ms - self._settled_ms <= TOLERANCE_MS:
            return
        edges = self._edges_between(self._settled_ms, until_ms)
        middles = (edges + np.append(edges[1:], until_ms)) / 2
        total = np.zeros((len(middles), self._num_labels), np.float64)
        count = np.zeros((len(middles), 1))
        for window in self._open:
            inside = (middles >= window.start_ms) & (middles < window.end_ms)
            frames = ((middles[inside] - window.start_ms) / self._frame_hop_ms).astype(np.int64)
            total[inside] += window.scores[np.minimum(frames, len(window.scores) - 1)]
            count[inside] += 1
        self._take(np.append(edges, until_ms), (total / np.maximum(count, 1)).astype(np.float32))
        self._settled_ms = until_ms
        while self._open and self._open[0].end_ms <= until_ms + TOLERANCE_MS:
            self._open.popleft()

    def _edges_between(self, start_ms: float, end_ms: float) -> np.ndarray:
        """Return the times at which any open window's scores may change, from ``start_ms`` up to before ``end_ms``."""
        borders = [np.array([start_ms])]
        for window in self._open:
            frames = window.start_ms + self._frame_hop_ms * np.arange(len(window.scores))
            borders.append(np.append(frames, window.end_ms))
        edges = np.unique(np.concatenate(borders))
        edges = edges[(edges >= start_ms) & (edges < end_ms - TOLERANCE_MS)]
        return edges[np.diff(edges, prepend=-np.inf) > TOLERANCE_MS]
