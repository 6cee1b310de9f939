"""The envelope: every extreme of every pixel, at every zoom, in a format that others read."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from appliance.engine.decode import peaks
from appliance.engine.decode.peaks import EnvelopeFile, PeakMaker, level_bytes, level_lengths, with_channels


def envelope_of(samples: np.ndarray, blocks: list[int], **options: int) -> tuple[bytes, PeakMaker]:
    """The files of all levels, of samples that come in blocks that end at these places."""
    maker, file = PeakMaker(samples.shape[1], **options), io.BytesIO()
    envelope = EnvelopeFile(file, samples.shape[1], **options)
    for block in np.split(samples, blocks):
        maker.add(block)
        envelope.add(maker.take())
    maker.finish()
    envelope.add(maker.take())
    assert (envelope.num_pixels, envelope.samples_per_pixel) == (maker.num_pixels, maker.samples_per_pixel)
    envelope.finish(48_000)
    return file.getvalue(), maker


def pixels_of(samples: np.ndarray, blocks: list[int], **options: int) -> tuple[np.ndarray, PeakMaker]:
    """The pixels of the finest level."""
    content, maker = envelope_of(samples, blocks, **options)
    count = 2 * maker.num_pixels * samples.shape[1]
    return np.frombuffer(content, "<i2", count, peaks.HEADER.size).reshape(-1, samples.shape[1], 2), maker


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
    file, maker = envelope_of(samples, [])
    offset, seen = 0, []
    for length in level_lengths(maker.num_pixels):
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


def test_levels_that_are_copied_in_parts_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(3).uniform(-1, 1, (3_000_000, 2)).astype(np.float32)
    whole, _ = envelope_of(samples, [123_456])
    joined, _ = envelope_of(samples, [123_456], max_values=8192)
    monkeypatch.setattr(peaks, "_COPY_BYTES", 100)
    assert envelope_of(samples, [123_456])[0] == whole
    assert envelope_of(samples, [123_456], max_values=8192)[0] == joined


def test_what_is_beyond_full_scale_or_no_number_stays_in_range() -> None:
    pixels, _ = pixels_of(np.array([[3.0], [-3.0], [np.nan]] * 100, np.float32), [])
    assert pixels.dtype == np.int16
    assert set(np.unique(pixels)) <= {-32768, 0, 32767}


@pytest.mark.parametrize(("channels", "expected"), [(1, [[1, 1, 1]]), (2, [[1, 2, 0]]), (4, [[1, 2, 3]])])
def test_a_block_gets_the_channels_of_its_recording(channels: int, expected: list[list[int]]) -> None:
    block = np.arange(1, channels + 1, dtype=np.float32)[None]
    assert with_channels(block, 3).tolist() == expected
