"""Resampling keeps length, time and pitch for blocks of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.decode.resample import resample

RATES_HZ = [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000]


def in_blocks(samples: np.ndarray, length: int, from_hz: int, to_hz: int) -> np.ndarray:
    blocks = [samples[start : start + length] for start in range(0, len(samples), length)]
    return np.concatenate([np.empty(0, np.float32), *resample(blocks, from_hz, to_hz)])


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(RATES_HZ), st.sampled_from(RATES_HZ), st.integers(1_000, 40_000), st.integers(500, 50_000))
def test_length_is_right_within_a_sample(from_hz: int, to_hz: int, num_samples: int, block: int) -> None:
    out = in_blocks(np.ones(num_samples, np.float32), block, from_hz, to_hz)
    assert abs(len(out) - num_samples * to_hz / from_hz) <= 1


@pytest.mark.parametrize("from_hz", RATES_HZ)
@pytest.mark.parametrize("to_hz", [16_000, 22_050])
def test_a_tone_keeps_its_phase_and_level(from_hz: int, to_hz: int) -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(2 * from_hz) / from_hz).astype(np.float32)
    out = in_blocks(tone, from_hz, from_hz, to_hz)
    expected = np.sin(2 * np.pi * 1_000 * np.arange(len(out)) / to_hz)
    middle = slice(to_hz // 10, -to_hz // 10)
    np.testing.assert_allclose(out[middle], expected[middle], atol=1e-3)


def test_frequencies_above_the_new_rates_limit_are_removed() -> None:
    tone = np.sin(2 * np.pi * 15_000 * np.arange(96_000) / 48_000).astype(np.float32)
    out = in_blocks(tone, 48_000, 48_000, 16_000)
    assert np.abs(out[1_000:-1_000]).max() < 1e-4


def test_the_size_of_blocks_does_not_matter() -> None:
    noise = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    np.testing.assert_allclose(
        in_blocks(noise, 777, 44_100, 16_000), in_blocks(noise, 100_000, 44_100, 16_000), atol=1e-6
    )


def test_no_samples_in_give_no_samples_out() -> None:
    assert len(in_blocks(np.empty(0, np.float32), 10, 44_100, 16_000)) == 0
    assert len(in_blocks(np.empty(0, np.float32), 10, 16_000, 16_000)) == 0
