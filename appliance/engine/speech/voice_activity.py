"""Finds speech with Silero VAD: for each 32 ms of a recording, the probability that somebody speaks.

Model: https://github.com/snakers4/silero-vad. The graph is the package's own for whole sequences; called block by
block, it returns what the package's streaming graph returns.
"""

from __future__ import annotations

import numpy as np

from appliance.engine.models.graph import Graph
from appliance.errors import InvalidManifest, ScoresNotFinite

FRAME_SAMPLES = 512
CONTEXT_SAMPLES = 64  # each frame is preceded by the end of the frame before
STATE_SHAPE = (1, 1, 128)


class VoiceActivity:
    """The graph. All recordings share it; each has its own ``VoiceStream``."""

    def __init__(self, graph: Graph) -> None:
        """Raises InvalidManifest if the graph has other inputs."""
        self.graph = graph
        if set(self.graph.input_shapes) != {"input", "h", "c"}:
            raise InvalidManifest(f"files.voice_activity: the graph's inputs are {', '.join(self.graph.input_shapes)}.")


class VoiceStream:
    """The speech probabilities of one recording, which comes in blocks."""

    def __init__(self, activity: VoiceActivity) -> None:
        self._graph = activity.graph
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._hidden = np.zeros(STATE_SHAPE, np.float32)
        self._cell = np.zeros(STATE_SHAPE, np.float32)

    def probabilities(self, frames: np.ndarray) -> np.ndarray:
        """Return (num_frames,) float32 in [0, 1] for the next frames. Raises ScoringFailed, ScoresNotFinite.

        frames : (num_frames, FRAME_SAMPLES) float32 mono at 16 kHz, at least one.
        """
        contexts = np.vstack([self._context, frames[:-1, -CONTEXT_SAMPLES:]])
        inputs = {"input": np.hstack([contexts, frames]), "h": self._hidden, "c": self._cell}
        probabilities, self._hidden, self._cell = self._graph.run(["speech_probs", "hn", "cn"], inputs)
        self._context = frames[-1, -CONTEXT_SAMPLES:].copy()
        if not np.isfinite(probabilities).all():
            raise ScoresNotFinite("The voice activity model returned numbers that are not finite.")
        return probabilities.reshape(-1)
