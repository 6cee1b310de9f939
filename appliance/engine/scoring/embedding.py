"""Embeddings: one vector for each window of a recording, and their mean for similarity search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np

from appliance.engine.decode.decoder import Decoder
from appliance.engine.scoring.scorer import Scorer


class VectorList:
    """A sink that collects the vectors of a recording's windows."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def add(self, start_ms: float, output: np.ndarray) -> None:
        """Add the vector of the next window. output : (num_dimensions,) float32."""
        self.rows.append(output.copy())


def embed(
    file: BinaryIO, decoder: Decoder, scorer: Scorer, checkpoint: Callable[[float], None] = lambda _: None
) -> np.ndarray:
    """Return the vectors of a recording: (num_windows, num_dimensions) float32.

    ``checkpoint`` is called for each window with the seconds of audio cut so far, and may raise to stop.
    Raises AudioError if the recording cannot be decoded (DecoderDied is one), ScoringFailed, ScoresNotFinite.
    """
    vectors = VectorList()
    source = scorer.session.manifest.input
    with decoder.decode(file, source.sample_rate_hz, num_channels=source.num_channels) as audio:
        scorer.score(audio, vectors, checkpoint)
    return np.stack(vectors.rows)


def mean_direction(vectors: np.ndarray, part_sizes: Sequence[int] = ()) -> np.ndarray:
    """Return the mean of (num_windows, num_dimensions) vectors, scaled to unit length: (num_dimensions,) float32.

    With ``part_sizes``, each part of the mean has unit length by itself. The dot product of two such means, or of one
    part of them, is their cosine similarity. The mean of zero vectors stays zero.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    parts = np.split(mean, np.cumsum(part_sizes)[:-1]) if part_sizes else [mean]
    return np.concatenate([part / max(float(np.linalg.norm(part)), 1e-12) for part in parts]).astype(np.float32)
