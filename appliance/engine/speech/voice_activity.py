"""Finds speech: Silero VAD gives each 32 ms of a recording the probability that somebody speaks.

The graph is the package's own for whole sequences, which gives what its streaming graph gives, block by block.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from appliance.engine.models.session import Graph
from appliance.errors import InvalidManifest, ScoringFailed

FRAME_SAMPLES = 512
CONTEXT_SAMPLES = 64  # the end of the frame before, which each frame is given again
STATE_SHAPE = (1, 1, 128)


class VoiceActivity:
    """The graph; recordings share it, each with a ``VoiceStream`` of its own."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidManifest where it is no such graph."""
        self.graph = Graph(path, num_threads=1)
        if set(self.graph.input_shapes) != {"input", "h", "c"}:
            raise InvalidManifest(f"files.voice_activity: the graph's inputs are {', '.join(self.graph.input_shapes)}.")


class VoiceStream:
    """The speech in one recording, given in blocks."""

    def __init__(self, activity: VoiceActivity) -> None:
        self._graph = activity.graph
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._hidden = np.zeros(STATE_SHAPE, np.float32)
        self._cell = np.zeros(STATE_SHAPE, np.float32)

    def probabilities(self, frames: np.ndarray) -> np.ndarray:
        """(num_frames, FRAME_SAMPLES) float32 to (num_frames,) float32 in [0, 1]. Raises ScoringFailed."""
        contexts = np.vstack([self._context, frames[:-1, -CONTEXT_SAMPLES:]])
        inputs = {"input": np.hstack([contexts, frames]), "h": self._hidden, "c": self._cell}
        found, self._hidden, self._cell = self._graph.run(["speech_probs", "hn", "cn"], inputs)
        self._context = frames[-1, -CONTEXT_SAMPLES:].copy()
        if not np.isfinite(found).all():
            raise ScoringFailed("The voice activity of this recording is not finite.")
        return found.reshape(-1)
