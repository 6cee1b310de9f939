"""Spectrogram tiles: a tone is in its row, a click in its column at every zoom, and tiles join as they should."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.decode.decoder import Decoder
from appliance.engine.decode.png import from_png, to_png
from appliance.engine.decode.spectrogram import (
    HEIGHT,
    MARGIN,
    WIDTH,
    TileMaker,
    joined,
    picture,
    row_edges_hz,
    samples_per_column,
)
from tests.support.encoded_files import noise, wav

RATE = 48_000


def tile_of(samples: np.ndarray, level: int) -> np.ndarray:
    """The tile of (num_samples, num_channels) that begins MARGIN samples after the first one."""
    maker = TileMaker(RATE, level)
    for start in range(0, len(samples), RATE):
        maker.add(samples[start : start + RATE])
    return maker.finish()


def test_the_picture_of_a_clip_is_its_tiles_side_by_side() -> None:
    samples = np.random.default_rng(1).standard_normal((600 * 256 + 1, 2)).astype(np.float32)
    whole = picture(samples, RATE, 1000)
    assert whole.shape == (HEIGHT, 601)
    padded = np.pad(samples, ((MARGIN, 2 * MARGIN), (0, 0)))
    np.testing.assert_array_equal(whole[:, :WIDTH], tile_of(padded[: WIDTH * 256 + 2 * MARGIN], 0))
    np.testing.assert_array_equal(whole[:, WIDTH : 2 * WIDTH], tile_of(padded[WIDTH * 256 :], 0))
    assert picture(samples, RATE, 600).shape == (HEIGHT, 151)
    assert picture(samples[:1], RATE, 1).shape == (HEIGHT, 1)


@pytest.mark.parametrize("frequency", [100.0, 1_000.0, 10_000.0])
def test_a_tone_is_in_its_row(frequency: float) -> None:
    samples = np.sin(np.arange(WIDTH * 256 + 2 * MARGIN) * (2 * np.pi * frequency / RATE)).astype(np.float32)
    tile = tile_of(samples[:, None], 0)
    row = HEIGHT - 1 - int(np.argmax(tile[:, 100]))
    low, high = row_edges_hz(RATE)[[row, row + 1]]
    width = 2 * RATE / (2048 if frequency < RATE / 12 else 128)  # a tone fills the bins beside its own
    assert low - width <= frequency <= high + width
    assert tile[:, 100].max() == pytest.approx(255, abs=4) or frequency > RATE / 12


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_click_of_one_sample_in_one_channel_is_in_its_column(level: int) -> None:
    column, at = samples_per_column(level), 100
    samples = np.random.default_rng(0).standard_normal((WIDTH * column + 2 * MARGIN, 2)).astype(np.float32) * 0.0025
    samples[MARGIN + at * column + 77, 1] = 0.1  # 20 dB over the peaks around it, which are at four deviations
    tile = tile_of(samples, level)
    upper = tile[: HEIGHT // 4].mean(axis=0)
    assert int(np.argmax(upper)) == at
    assert upper[at] > np.median(upper) + 8  # of 255: 4 dB


def test_columns_after_the_end_are_empty() -> None:
    samples = np.full((MARGIN + 10 * 256 + 5, 1), 0.1, np.float32)
    tile = tile_of(samples, 0)
    assert tile[:, :11].max() > 0
    assert not tile[:, 11:].any()


def test_four_tiles_join_to_one_with_the_greatest_of_each_four_columns() -> None:
    tiles = [np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), np.uint8) for seed in range(3)]
    whole = joined([*tiles, None])
    assert whole.shape == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(whole[:, 64], tiles[1][:, :4].max(axis=1))
    assert not whole[:, 192:].any()


def test_a_picture_survives_png() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    np.testing.assert_array_equal(from_png(to_png(picture)), picture)
    with pytest.raises(ValueError, match="picture"):
        from_png(to_png(picture)[:60])


@pytest.mark.slow  # it starts a decoder process
def test_a_process_that_makes_tiles_keeps_its_memory(decoder: Decoder, recording: Callable[..., Path]) -> None:
    """To get every array from the kernel anew, 60,000 pages for a tile, took half of its time."""
    path = recording(wav(noise(RATE, 90), RATE))
    with path.open("rb") as file:
        outline = decoder.look(file, io.BytesIO()).outline
        decoder.tile(file, 3, 0, outline)
        before = pages_of(decoder)
        decoder.tile(file, 3, 0, outline)
    assert pages_of(decoder) - before < 10_000


def pages_of(decoder: Decoder) -> int:
    """How many pages of memory the decoder's process got from the kernel so far."""
    return int(Path(f"/proc/{decoder.pid}/stat").read_text().rpartition(")")[2].split()[7])
