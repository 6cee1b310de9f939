"""Spectrogram tiles: pictures of 256 × 256 pixels, whose columns are the pixels of a level of the envelope.

A row is a band of a logarithmic frequency axis, a value a level in decibels. Below SPLIT of the sample rate spectra of
long frames tell tones apart; above it those of short frames show clicks, which a long frame buries in noise. A pixel is
the maximum of all spectra that touch it and of all channels, so that nothing short disappears when one zooms out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.fft import rfft  # now, since numpy loads it late, and a decoder process can open no file then
from numpy.lib.stride_tricks import sliding_window_view

from appliance.engine.decode.peaks import BASE_SAMPLES, FACTOR

WIDTH = HEIGHT = 256
LONG, SHORT = 2048, 128  # samples of a frame
SPLIT = 1 / 12  # of the sample rate: 4 kHz at 48 kHz
LOWEST_HZ = 40.0
LOWEST_DB, HIGHEST_DB = -120.0, 0.0  # a sine at full scale has 0 dB below the split
MARGIN = LONG // 2  # samples around a tile that its frames reach


def samples_per_column(level: int) -> int:
    """Return the number of samples in a column of a level."""
    return BASE_SAMPLES * FACTOR**level


class TileMaker:
    """Makes one tile while its stretch of the recording is decoded, from MARGIN samples before it to as many after."""

    def __init__(self, sample_rate_hz: int, level: int) -> None:
        self._rate = sample_rate_hz
        self._column = samples_per_column(level)
        self._bands = [
            _Band(LONG, min(LONG // 2, self._column), self._column),
            _Band(SHORT, SHORT // 2, self._column),
        ]
        self._samples: np.ndarray | None = None
        self._num_columns = 0

    def add(self, block: np.ndarray) -> None:
        """Add (num_samples, num_channels) float32."""
        channels = np.nan_to_num(block.T, posinf=0.0, neginf=0.0)
        self._samples = channels if self._samples is None else np.concatenate([self._samples, channels], axis=1)
        step = max(1, 2**16 // self._column)  # columns at once: the spectra of more do not fit the caches
        while self._samples.shape[1] >= step * self._column + 2 * MARGIN:
            self._take(step)

    def finish(self) -> np.ndarray:
        """Return the tile: (HEIGHT, WIDTH) uint8, the lowest frequency in the last row; columns after the end are 0."""
        if self._samples is not None and self._samples.shape[1] > MARGIN:
            columns = -(-(self._samples.shape[1] - MARGIN) // self._column)
            wanted = columns * self._column + 2 * MARGIN
            self._samples = np.pad(self._samples, ((0, 0), (0, max(0, wanted - self._samples.shape[1]))))
            self._take(min(columns, WIDTH - self._num_columns))
        long, short = (band.powers() for band in self._bands)
        return _picture(long, short, self._rate)

    def _take(self, columns: int) -> None:
        assert self._samples is not None
        columns = min(columns, WIDTH - self._num_columns)
        for band in self._bands:
            band.add(self._samples, columns)
        self._num_columns += columns
        self._samples = self._samples[:, max(1, columns) * self._column :]


def picture(samples: np.ndarray, sample_rate_hz: int, most_columns: int) -> np.ndarray:
    """Return the spectrogram of a whole clip, with the columns of the finest level that has at most ``most_columns``.

    samples : (num_samples, num_channels) float32. Returns (HEIGHT, num_columns) uint8, at least one column.
    """
    level = 0
    while len(samples) > most_columns * samples_per_column(level):
        level += 1
    column = samples_per_column(level)
    padded = np.pad(samples, ((MARGIN, MARGIN), (0, 0)))
    tiles = []
    for start in range(0, max(1, len(samples)), WIDTH * column):
        maker = TileMaker(sample_rate_hz, level)
        maker.add(padded[start : start + WIDTH * column + 2 * MARGIN])
        tiles.append(maker.finish())
    return np.concatenate(tiles, axis=1)[:, : max(1, -(-len(samples) // column))]


class _Band:
    """The powers of the spectra of frames of one length, the maximum for each column."""

    def __init__(self, length: int, hop: int, column: int) -> None:
        self._length, self._hop, self._per_column = length, hop, column // hop
        self._column = column
        self._window = np.hanning(length + 1)[:-1].astype(np.float32)
        # So scaled, noise has the same level in both bands, and a sine at full scale has power 1 in the long one.
        self._scale = float((4 / np.sum(self._window) ** 2) * (LONG / length) ** -1)
        self._powers: list[np.ndarray] = []

    def add(self, samples: np.ndarray, columns: int) -> None:
        if columns < 1:
            return
        first = MARGIN - self._length // 2 + (self._hop // 2 if self._per_column > 1 else self._column // 2)
        last = first + columns * self._column - self._hop + self._length
        best: np.ndarray | None = None
        for channel in samples:
            frames = sliding_window_view(channel[first:last], self._length)[:: self._hop] * self._window
            spectra = rfft(frames, axis=1)
            powers = spectra.real**2 + spectra.imag**2
            powers = powers.reshape(columns, self._per_column, -1).max(axis=1)
            best = powers if best is None else np.maximum(best, powers)
        if best is not None:
            self._powers.append(best * np.float32(self._scale))

    def powers(self) -> np.ndarray:
        """Return (num_columns, num_bins) float32."""
        return np.concatenate([np.empty((0, self._length // 2 + 1), np.float32), *self._powers])


def row_edges_hz(sample_rate_hz: int) -> np.ndarray:
    """Return the frequencies between the rows, from the lowest to the highest: (HEIGHT + 1,)."""
    return np.geomspace(LOWEST_HZ, sample_rate_hz / 2, HEIGHT + 1)


def _picture(long: np.ndarray, short: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    edges = row_edges_hz(sample_rate_hz)
    num_low = int(np.searchsorted(edges, SPLIT * sample_rate_hz))
    rows = np.concatenate(
        [_rows(long, edges[: num_low + 1], sample_rate_hz), _rows(short, edges[num_low:], sample_rate_hz)], axis=1
    )
    decibels = 10 * np.log10(np.maximum(rows, 1e-13))
    values = np.rint((decibels - LOWEST_DB) * (255 / (HIGHEST_DB - LOWEST_DB)))
    tile = np.zeros((HEIGHT, WIDTH), np.uint8)
    tile[:, : len(rows)] = np.clip(values, 0, 255).astype(np.uint8).T[::-1]
    return tile


def _rows(powers: np.ndarray, edges_hz: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return the greatest power between each two edges: (num_columns, num_rows) of (num_columns, num_bins)."""
    last = powers.shape[1] - 1
    places = edges_hz * (2 * last / sample_rate_hz)
    low = np.minimum(np.floor(places[:-1]).astype(int), last)
    high = np.minimum(np.maximum(np.ceil(places[1:]).astype(int), low + 1), last)
    return np.maximum.reduceat(powers, np.stack([low, high], axis=1).ravel(), axis=1)[:, ::2]


def joined(tiles: Sequence[np.ndarray | None]) -> np.ndarray:
    """Return the tile that shows four tiles of the level below, from left to right; None has nothing in it."""
    empty = np.zeros((HEIGHT, WIDTH), np.uint8)
    wide = np.concatenate([empty if tile is None else tile for tile in tiles], axis=1)
    return wide.reshape(HEIGHT, WIDTH, FACTOR).max(axis=2)
