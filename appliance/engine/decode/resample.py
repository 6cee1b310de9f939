"""Streaming resampling by soxr at high quality, without delay and without loss at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

QUALITY = "HQ"


def resample(blocks: Iterable[np.ndarray], from_hz: int, to_hz: int, num_channels: int = 1) -> Iterator[np.ndarray]:
    """Yield float32 blocks at ``to_hz`` from such blocks at ``from_hz``.

    Blocks are (num_samples,), or (num_samples, num_channels) if there is more than one channel.
    n samples become n * to_hz / from_hz, within one sample; sample 0 stays at time 0. If the rates are equal, blocks
    pass unchanged.
    """
    if from_hz == to_hz:
        yield from (block for block in blocks if len(block))
        return
    stream = soxr.ResampleStream(from_hz, to_hz, num_channels, dtype="float32", quality=QUALITY)
    for block in blocks:
        out = stream.resample_chunk(block)
        if len(out):
            yield out
    tail = stream.resample_chunk(np.empty((0, num_channels)[: min(num_channels, 2)], np.float32), last=True)
    if len(tail):
        yield tail
