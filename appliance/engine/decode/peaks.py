"""The envelope of a recording: the lowest and the highest sample of every pixel, at several zooms.

Each level is a waveform data file of the BBC's format, version 2, with 16 bits a value, which audiowaveform, peaks.js
and others read: https://github.com/bbc/audiowaveform/blob/master/doc/DataFormat.md. A pixel of a level is the minimum
and the maximum of four pixels of the level below, so that a click of one sample is seen at every zoom.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np

BASE_SAMPLES = 256  # of a pixel of the finest level
FACTOR = 4
LEAST_PIXELS = 512  # a level that is shorter gets no coarser one
MAX_VALUES = 2**24  # pixels times channels of the finest level; a longer recording begins at a coarser one
HEADER = struct.Struct("<iIiiIi")  # version, flags, sample rate, samples a pixel, pixels, channels
VERSION, FLAGS = 2, 0  # flag 1 would be 8 bits a value
PIXEL_BYTES = 4  # of a channel: two int16
_COPY_BYTES = 1024**2


class PeakMaker:
    """Makes the pixels of the finest level while a recording is decoded. It holds those that were not taken yet."""

    def __init__(self, num_channels: int, max_values: int = MAX_VALUES) -> None:
        self._num_channels = num_channels
        self._most_pixels = most_pixels(num_channels, max_values)
        self._rest = np.empty((num_channels, 0), np.float32)
        self._made = bytearray()
        self.num_pixels = 0
        self.samples_per_pixel = BASE_SAMPLES
        self.num_samples = 0

    def add(self, block: np.ndarray) -> None:
        """Add (num_samples, num_channels) float32, full scale ±1."""
        self.num_samples += len(block)
        # One copy, which also puts the samples of a channel side by side: reduceat is half as fast across them.
        columns = np.concatenate([self._rest, with_channels(block, self._num_channels).T], axis=1)
        start = 0
        while num_pixels := (columns.shape[1] - start) // self.samples_per_pixel:
            num_pixels = min(num_pixels, self._most_pixels - self.num_pixels)
            end = start + num_pixels * self.samples_per_pixel
            self._keep(_pixels(columns[:, start:end], self.samples_per_pixel))
            start = end
        self._rest = columns[:, start:].copy()

    def finish(self) -> None:
        """Make a pixel of the samples that are left."""
        if self._rest.shape[1]:
            self._keep(_pixels(self._rest, self.samples_per_pixel))

    def take(self) -> bytearray:
        """Return the pixels that were made since the last call: (num_pixels, num_channels, 2) int16."""
        made, self._made = self._made, bytearray()
        return made

    def _keep(self, pixels: np.ndarray) -> None:
        self._made += pixels.astype("<i2").tobytes()
        self.num_pixels += len(pixels)
        if self.num_pixels == self._most_pixels:
            self.num_pixels //= FACTOR
            self.samples_per_pixel *= FACTOR


class EnvelopeFile:
    """Writes the pixels of a PeakMaker to a file as they come, and in the end the files of all levels.

    If the finest level gets too long, each four of its pixels are joined, and the next ones must be as coarse: the
    PeakMaker does the same at the same pixel. It holds a mebibyte, however long the recording is.
    """

    def __init__(self, file: BinaryIO, num_channels: int, max_values: int = MAX_VALUES) -> None:
        self._file = file
        self._num_channels = num_channels
        self._most_pixels = most_pixels(num_channels, max_values)
        self.num_pixels = 0
        self.samples_per_pixel = BASE_SAMPLES
        file.write(bytes(HEADER.size))

    def add(self, pixels: bytearray) -> None:
        """Add the next pixels: (num_pixels, num_channels, 2) int16."""
        rest = memoryview(pixels)
        while rest:
            part = rest[: (self._most_pixels - self.num_pixels) * self._pixel_bytes]
            self._file.write(part)
            self.num_pixels += len(part) // self._pixel_bytes
            rest = rest[len(part) :]
            if self.num_pixels == self._most_pixels:
                self._join()

    def finish(self, sample_rate_hz: int) -> None:
        """Write the headers and the coarser levels, each a whole waveform data file behind the finer one."""
        num_pixels, samples_per_pixel, start = self.num_pixels, self.samples_per_pixel, 0
        while True:
            self._file.seek(start)
            header = (VERSION, FLAGS, sample_rate_hz, samples_per_pixel, num_pixels, self._num_channels)
            self._file.write(HEADER.pack(*header))
            if num_pixels <= LEAST_PIXELS:
                return
            pixels, start = start + HEADER.size, start + level_bytes(num_pixels, self._num_channels)
            self._copy_coarser(pixels, num_pixels, start + HEADER.size)
            num_pixels, samples_per_pixel = -(-num_pixels // FACTOR), samples_per_pixel * FACTOR

    @property
    def _pixel_bytes(self) -> int:
        return self._num_channels * PIXEL_BYTES

    def _join(self) -> None:
        self._copy_coarser(HEADER.size, self.num_pixels, HEADER.size)
        self._file.truncate()
        self.num_pixels //= FACTOR
        self.samples_per_pixel *= FACTOR

    def _copy_coarser(self, source: int, num_pixels: int, target: int) -> None:
        """Write the coarser pixels of those at ``source`` to ``target``, at the same place or behind them."""
        most = max(1, _COPY_BYTES // self._pixel_bytes // FACTOR) * FACTOR
        for first in range(0, num_pixels, most):
            self._file.seek(source + first * self._pixel_bytes)
            values = np.frombuffer(self._file.read(min(most, num_pixels - first) * self._pixel_bytes), "<i2")
            self._file.seek(target + first // FACTOR * self._pixel_bytes)
            self._file.write(coarser(values.reshape(-1, self._num_channels, 2)).tobytes())


def most_pixels(num_channels: int, max_values: int) -> int:
    """Return how many pixels the finest level may have."""
    return max_values // num_channels // FACTOR * FACTOR


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
