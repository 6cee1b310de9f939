"""Embeddings: a vector for each window of a recording, and their mean for search."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import numpy as np

from appliance.engine.decode.decoder import Decoder
from appliance.engine.scoring.scorer import Scorer


class VectorList:
    """Gathers the vectors of a recording's windows."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def add(self, start_ms: float, answer: np.ndarray) -> None:
        """``answer`` : (num_dimensions,) of the next window."""
        self.rows.append(answer.copy())


def embed(
    file: BinaryIO, decoder: Decoder, scorer: Scorer, checkpoint: Callable[[float], None] = lambda _: None
) -> np.ndarray:
    """The vectors of a recording: (num_windows, num_dimensions) float32.

    ``checkpoint`` is called for each window with the seconds cut so far, and may raise to stop.
    Raises AudioError, DecoderDied, ScoringFailed.
    """
    vectors = VectorList()
    with decoder.decode(file, scorer.session.manifest.input.sample_rate_hz) as audio:
        scorer.score(audio, vectors, checkpoint)
    return np.stack(vectors.rows)


def mean_direction(vectors: np.ndarray) -> np.ndarray:
    """The mean of (num_windows, num_dimensions) at unit length, so that a dot product is the cosine."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
