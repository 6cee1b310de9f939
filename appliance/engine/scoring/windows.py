"""Cuts a stream of audio into windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def cut_windows(blocks: Iterable[np.ndarray], window_samples: int, hop_samples: int) -> Iterator[np.ndarray]:
    """Yield windows (window_samples,) every ``hop_samples``. The last one is padded with zeros and covers the tail.

    blocks : float32 arrays (num_samples,) of any length. Windows are views if possible.
    """
    waiting: list[np.ndarray] = []  # audio from the next window's start on
    num_waiting = 0
    num_covered = 0  # samples of ``waiting`` that were in the last window
    for block in blocks:
        waiting.append(block)
        num_waiting += len(block)
        if num_waiting < window_samples:
            continue
        audio = np.concatenate(waiting)
        start = 0
        while len(audio) - start >= window_samples:
            yield audio[start : start + window_samples]
            start += hop_samples
        waiting, num_waiting = [audio[start:]], len(audio) - start
        num_covered = window_samples - hop_samples
    if num_waiting > num_covered:
        audio = np.concatenate(waiting)
        yield np.pad(audio, (0, window_samples - len(audio)))
