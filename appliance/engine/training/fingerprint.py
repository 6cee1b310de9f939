"""Finds copies of a recording that were coded, cut or mixed again, by pairs of peaks in their spectra.

A peak is the loudest place within some frames and some bins around it. Each peak and the next ones after it make a
hash of both frequencies and the time between them, which coding, noise and loudness change little. In a copy, many
hashes occur again, and all at the same distance in time; in other recordings with the same event, voice or hum, few do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WINDOW_SECONDS = 0.128
LOW_HZ, HIGH_HZ = 300.0, 3400.0  # what a telephone lets through
AROUND = (12, 12)  # frames and bins on each side in which a peak is the loudest
NEXT_PEAKS, MOST_FRAMES, MOST_BINS = 15, 63, 63  # a peak is paired with those of the next ones that are as near as this
BLOCK_FRAMES = 1024
SILENCE = 1e-5  # a magnitude below which nothing is a peak
LEAST_SHARE, LEAST_COUNT = 0.05, 10  # of the hashes of the shorter one of both, that a copy has at one distance


class Fingerprinter:
    """Takes the samples of a recording block by block, and gives its hashes."""

    def __init__(self, rate_hz: int) -> None:
        self._window = 2 ** round(np.log2(WINDOW_SECONDS * rate_hz))
        self._hop = self._window // 4
        bins = np.arange(self._window // 2 + 1) * rate_hz / self._window
        self._bins = slice(*np.searchsorted(bins, [LOW_HZ, HIGH_HZ]).tolist())
        self._shape = np.hanning(self._window).astype(np.float32) / self._window
        self._samples = np.zeros(0, np.float32)
        self._frames = np.zeros((0, self._bins.stop - self._bins.start), np.float32)
        self._first = 0  # number of the first frame that is held
        self._peaks: list[np.ndarray] = []

    def add(self, samples: np.ndarray) -> None:
        """Add the next (num_samples,) samples."""
        self._samples = np.concatenate([self._samples, samples.astype(np.float32)])
        count = (len(self._samples) - self._window) // self._hop + 1
        if count >= BLOCK_FRAMES:
            self._take(count)
            self._find(len(self._frames) - AROUND[0])

    def finish(self) -> np.ndarray:
        """Return the hashes: (num_hashes, 2) uint32, each a hash and the number of its first frame."""
        self._take(max(0, (len(self._samples) - self._window) // self._hop + 1))
        self._find(len(self._frames))
        peaks = np.concatenate(self._peaks) if self._peaks else np.zeros((0, 2), np.int64)
        return pairs(peaks[np.lexsort(peaks.T[::-1])])

    def _take(self, count: int) -> None:
        """Add the spectra of the next ``count`` frames."""
        if count <= 0:
            return
        views = np.lib.stride_tricks.sliding_window_view(self._samples, self._window)[:: self._hop][:count]
        spectra = np.abs(np.fft.rfft(views * self._shape, axis=1)[:, self._bins]).astype(np.float32)
        self._frames = np.concatenate([self._frames, spectra])
        self._samples = self._samples[count * self._hop :]

    def _find(self, end: int) -> None:
        """Note the peaks of the frames before ``end``, and keep what is around the next ones."""
        known = min(AROUND[0], self._first)  # frames whose peaks were noted; they are around others
        if end <= known:
            return
        loudest = _around(_around(self._frames, AROUND[0]).T, AROUND[1]).T
        is_peak = (self._frames == loudest) & (self._frames > SILENCE)
        frames, bins = np.nonzero(is_peak[known:end])
        self._peaks.append(np.stack([frames + self._first + known, bins], axis=1))
        dropped = max(0, end - AROUND[0])
        self._frames, self._first = self._frames[dropped:], self._first + dropped


def _around(x: np.ndarray, reach: int) -> np.ndarray:
    """Return the largest value within ``reach`` rows of each place of (num_rows, num_columns)."""
    width = 2 * reach + 1
    out, covered = np.pad(x, ((reach, reach), (0, 0))), 1
    while covered < width:  # each round looks twice as far
        step = min(covered, width - covered)
        out = np.maximum(out[:-step], out[step:])
        covered += step
    return out


def pairs(peaks: np.ndarray) -> np.ndarray:
    """Return the hashes of (num_peaks, 2) peaks, each a frame and a bin, in order of time."""
    parts = [np.zeros((0, 2), np.int64)]
    for step in range(1, NEXT_PEAKS + 1):
        first, second = peaks[:-step], peaks[step:]
        frames, bins = (second - first).T
        near = (frames > 0) & (frames <= MOST_FRAMES) & (np.abs(bins) <= MOST_BINS)
        hashes = (first[near, 1] << 13) | ((bins[near] + MOST_BINS) << 6) | frames[near]
        parts.append(np.stack([hashes, first[near, 0]], axis=1))
    return np.unique(np.concatenate(parts), axis=0).astype(np.uint32)


def copies(prints: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Return which recordings are copies of one another, or of parts, as pairs of numbers.

    ``prints`` are of ``Fingerprinter.finish``, all at the same rate.
    """
    sizes = np.array([len(one) for one in prints])
    if not sizes.sum():
        return []
    table = np.concatenate(prints)
    owner, order = np.repeat(np.arange(len(prints)), sizes), np.argsort(table[:, 0], kind="stable")
    values, owners, frames = table[order, 0], owner[order], table[order, 1].astype(np.int64)
    found = []
    for number, mine in enumerate(prints):
        first, last = (np.searchsorted(values, mine[:, 0], side) for side in ("left", "right"))
        counts = last - first
        # The places in the table of every occurrence of each of my hashes.
        places = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
        distance = frames[places] - np.repeat(mine[:, 1].astype(np.int64), counts)
        later = owners[places] > number
        keys, hits = np.unique(np.stack([owners[places][later], distance[later]], axis=1), axis=0, return_counts=True)
        least = np.maximum(LEAST_COUNT, LEAST_SHARE * np.minimum(sizes[keys[:, 0]], len(mine)))
        found += [(number, other) for other in np.unique(keys[hits >= least, 0]).tolist()]
    return found
