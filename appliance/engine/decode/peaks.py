"""The envelope of a recording: the lowest and the highest sample of every pixel, at several zooms.

Each level is a waveform data file of the BBC's format, version 2, with 16 bits a value, which audiowaveform, peaks.js
and others read: https://github.com/bbc/audiowaveform/blob/master/doc/DataFormat.md. A pixel of a level is the minimum
and the maximum of four pixels of the level below, so that a click of one sample is seen at every zoom.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

BASE_SAMPLES = 256  # of a pixel of the finest level
FACTOR = 4
LEAST_PIXELS = 512  # a level that is shorter gets no coarser one
MAX_VALUES = 2**24  # pixels times channels of the finest level; a longer recording begins at a coarser one
HEADER = struct.Struct("<iIiiIi")  # version, flags, sample rate, samples a pixel, pixels, channels
VERSION, FLAGS = 2, 0  # flag 1 would be 8 bits a value
PIXEL_BYTES = 4  # of a channel: two int16


class PeakMaker:
    """Makes the finest level while a recording is decoded, in memory that has a limit."""

    def __init__(self, num_channels: int, max_values: int = MAX_VALUES) -> None:
        self._num_channels = num_channels
        self._most_pixels = max_values // num_channels // FACTOR * FACTOR
        self._rest = np.empty((num_channels, 0), np.float32)
        self._pixels: list[np.ndarray] = []
        self._num_pixels = 0
        self.samples_per_pixel = BASE_SAMPLES
        self.num_samples = 0

    def add(self, block: np.ndarray) -> None:
        """Add (num_samples, num_channels) float32, full scale ±1."""
        self.num_samples += len(block)
        # One copy, which also puts the samples of a channel side by side: reduceat is half as fast across them.
        columns = np.concatenate([self._rest, with_channels(block, self._num_channels).T], axis=1)
        start = 0
        while num_pixels := (columns.shape[1] - start) // self.samples_per_pixel:
            num_pixels = min(num_pixels, self._most_pixels - self._num_pixels)
            end = start + num_pixels * self.samples_per_pixel
            self._keep(_pixels(columns[:, start:end], self.samples_per_pixel))
            start = end
        self._rest = columns[:, start:].copy()

    def finish(self) -> np.ndarray:
        """Return the pixels: (num_pixels, num_channels, 2) int16, the minimum and the maximum of each."""
        if self._rest.shape[1]:
            self._keep(_pixels(self._rest, self.samples_per_pixel))
            self._rest = self._rest[:, :0]
        pixels = np.concatenate([np.empty((0, self._num_channels, 2), np.int16), *self._pixels])
        self._pixels = []
        return pixels

    def _keep(self, pixels: np.ndarray) -> None:
        self._pixels.append(pixels)
        self._num_pixels += len(pixels)
        if self._num_pixels >= self._most_pixels:
            self._pixels = [coarser(np.concatenate(self._pixels))]
            self._num_pixels = len(self._pixels[0])
            self.samples_per_pixel *= FACTOR


def _pixels(columns: np.ndarray, samples_per_pixel: int) -> np.ndarray:
    """Return the minimum and maximum of every pixel of (num_channels, num_samples): (num_pixels, num_channels, 2)."""
    starts = np.arange(0, columns.shape[1], samples_per_pixel)
    both = (np.minimum.reduceat(columns, starts, axis=1), np.maximum.reduceat(columns, starts, axis=1))
    values = np.stack(both, axis=-1).transpose(1, 0, 2)
    np.nan_to_num(values, copy=False)
    return np.clip(np.rint(values * 32768), -32768, 32767).astype(np.int16)


def coarser(pixels: np.ndarray) -> np.ndarray:
    """Join each four pixels of (num_pixels, num_channels, 2) int16 into one."""
    starts = np.arange(0, len(pixels), FACTOR)
    low, high = pixels[..., 0], pixels[..., 1]
    return np.stack([np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)], axis=-1)


def pyramid(pixels: np.ndarray, sample_rate_hz: int, samples_per_pixel: int) -> Iterator[bytes | memoryview]:
    """Yield the bytes of all levels, the finest first, each a whole waveform data file.

    pixels : (num_pixels, num_channels, 2) int16, at least one.
    """
    while True:
        yield HEADER.pack(VERSION, FLAGS, sample_rate_hz, samples_per_pixel, len(pixels), pixels.shape[1])
        yield np.ascontiguousarray(pixels, "<i2").data.cast("B")
        if len(pixels) <= LEAST_PIXELS:
            return
        pixels, samples_per_pixel = coarser(pixels), samples_per_pixel * FACTOR


def level_lengths(num_pixels: int) -> list[int]:
    """Return the number of pixels of every level of a pyramid, the finest first."""
    lengths = [num_pixels]
    while lengths[-1] > LEAST_PIXELS:
        lengths.append(-(-lengths[-1] // FACTOR))
    return lengths


def level_bytes(num_pixels: int, num_channels: int) -> int:
    """Return the size of a level's file."""
    return HEADER.size + num_pixels * num_channels * PIXEL_BYTES


def with_channels(block: np.ndarray, num_channels: int) -> np.ndarray:
    """Return (num_samples, num_channels) of a block whose number of channels may have changed within a damaged file.

    One channel is repeated, and those that are missing are silent.
    """
    if block.shape[1] == num_channels:
        return block
    if block.shape[1] == 1:
        return np.repeat(block, num_channels, axis=1)
    return np.pad(block[:, :num_channels], ((0, 0), (0, max(0, num_channels - block.shape[1]))))
