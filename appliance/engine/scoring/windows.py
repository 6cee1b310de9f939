"""Cuts a stream of audio into windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np


def cut_windows(
    blocks: Iterable[np.ndarray],
    window_samples: int,
    hop_samples: int,
    length_for: Callable[[int], int] | None = None,
) -> Iterator[np.ndarray]:
    """Yield windows of ``window_samples`` every ``hop_samples``. The last one is padded with zeros and covers the tail.

    ``length_for`` returns the length of the last window for the samples that it must hold; without it, all windows are
    equally long. blocks : float32 arrays of any length, (num_samples,) or (num_samples, num_channels). Windows are
    views if possible.
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
        length = length_for(len(audio)) if length_for else window_samples
        yield np.pad(audio, [(0, length - len(audio)), *[(0, 0)] * (audio.ndim - 1)])
