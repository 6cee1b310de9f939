"""The envelope: every extreme of every pixel, at every zoom, in a format that others read."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from appliance.engine.decode import peaks
from appliance.engine.decode.peaks import PeakMaker, level_bytes, level_lengths, pyramid, with_channels


def pixels_of(samples: np.ndarray, blocks: list[int], **options: int) -> tuple[np.ndarray, PeakMaker]:
    """The pixels of samples that come in blocks that end at these places."""
    maker = PeakMaker(samples.shape[1], **options)
    for block in np.split(samples, blocks):
        maker.add(block)
    return maker.finish(), maker


def test_pixels_have_the_extremes_however_the_blocks_are_cut() -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (100_003, 2)).astype(np.float32)
    pixels, maker = pixels_of(samples, [1, 255, 300, 51_200, 99_000])
    assert (pixels.shape, maker.num_samples, maker.samples_per_pixel) == ((391, 2, 2), 100_003, 256)
    for number in (0, 7, 390):
        part = np.rint(samples[number * 256 : (number + 1) * 256] * 32768)
        np.testing.assert_array_equal(pixels[number], np.stack([part.min(0), part.max(0)], axis=1).clip(-32768, 32767))


def test_a_click_of_one_sample_is_in_every_level() -> None:
    samples = np.zeros((3_000_000, 1), np.float32)
    samples[1_234_567] = 0.5
    pixels, _ = pixels_of(samples, [])
    file, offset, seen = b"".join(pyramid(pixels, 48_000, 256)), 0, []
    for length in level_lengths(len(pixels)):
        version, flags, rate, spp, num_pixels, channels = struct.unpack_from("<iIiiIi", file, offset)
        assert (version, flags, rate, num_pixels, channels) == (2, 0, 48_000, length, 1)
        values = np.frombuffer(file, "<i2", 2 * length, offset + 24).reshape(length, 2)
        assert np.flatnonzero(values[:, 1]).tolist() == [1_234_567 // spp]
        assert values[:, 1].max() == 16384
        seen.append(spp)
        offset += level_bytes(length, 1)
    assert (seen, offset) == ([256, 1024, 4096, 16384], len(file))


def test_a_recording_that_is_too_long_begins_at_a_coarser_level() -> None:
    samples = np.random.default_rng(2).uniform(-1, 1, (70_000, 2)).astype(np.float32)
    pixels, maker = pixels_of(samples, [999, 40_000], max_values=64)
    fine, _ = pixels_of(samples, [])
    assert (maker.samples_per_pixel, len(pixels)) == (4096, 18)
    np.testing.assert_array_equal(pixels, peaks.coarser(peaks.coarser(fine)))


def test_what_is_beyond_full_scale_or_no_number_stays_in_range() -> None:
    pixels, _ = pixels_of(np.array([[3.0], [-3.0], [np.nan]] * 100, np.float32), [])
    assert pixels.dtype == np.int16
    assert set(np.unique(pixels)) <= {-32768, 0, 32767}


@pytest.mark.parametrize(("channels", "expected"), [(1, [[1, 1, 1]]), (2, [[1, 2, 0]]), (4, [[1, 2, 3]])])
def test_a_block_gets_the_channels_of_its_recording(channels: int, expected: list[list[int]]) -> None:
    block = np.arange(1, channels + 1, dtype=np.float32)[None]
    assert with_channels(block, 3).tolist() == expected
