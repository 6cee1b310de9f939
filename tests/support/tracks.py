"""Collects the scores of a recording as one track."""

from __future__ import annotations

import numpy as np

from appliance.engine.scoring.track import ScoreAverager, ScoreTrack


class TrackBuilder:
    """A sink that keeps the whole track."""

    def __init__(self, window_ms: float, frame_hop_ms: float, num_labels: int) -> None:
        self._edges: list[np.ndarray] = []
        self._scores = [np.empty((0, num_labels), np.float32)]
        self._averager = ScoreAverager(window_ms, frame_hop_ms, num_labels, self._take)
        self.add = self._averager.add

    def _take(self, edges_ms: np.ndarray, scores: np.ndarray) -> None:
        self._edges.append(edges_ms[:-1])
        self._scores.append(scores)

    def finish(self, duration_ms: float) -> ScoreTrack:
        """Return the track, cut at the recording's end."""
        self._averager.finish(duration_ms)
        return ScoreTrack(np.concatenate([*self._edges, [duration_ms]]), np.concatenate(self._scores))
