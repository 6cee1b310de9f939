"""The normalized file is compared with the signal that it was made from."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
import soundfile
import soxr

from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.decode.normalize import SAMPLE_RATE_HZ, normalize
from tests.support.encoded_files import wav

RATE_HZ = 44_100


def normalized(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target, Decoder(DecodeLimits()) as decoder:
        source.write(wav(samples.astype(np.float32), rate_hz, "FLOAT"))
        source.flush()
        with decoder.decode(source, SAMPLE_RATE_HZ) as audio:
            normalize(audio, target)
        target.seek(0)
        written, rate = soundfile.read(target, dtype="float64")
        target.seek(0)
        assert soundfile.info(target).subtype == "PCM_16"
    assert rate == SAMPLE_RATE_HZ
    return written


def sweep(seconds: float) -> np.ndarray:
    """A sine at 0.9 of full scale that rises from 20 Hz to 7 kHz: (num_samples,) at 44.1 kHz."""
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return 0.9 * np.sin(2 * np.pi * (20 * time + (7000 - 20) * time**2 / (2 * seconds)))


def signal_to_noise_db(expected: np.ndarray, actual: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(expected**2) / np.mean((actual - expected) ** 2)))


def test_a_sweep_up_to_7_khz_keeps_90_db() -> None:
    """Compared with the same resampler in one call and double precision: the cost of streaming, 16 bits and dither."""
    source = sweep(5.0)
    expected = soxr.resample(source, RATE_HZ, SAMPLE_RATE_HZ, quality="HQ")
    actual = normalized(source, RATE_HZ)
    assert len(actual) == len(expected) == 80_000
    assert signal_to_noise_db(expected, actual) > 90


def test_the_passband_is_flat_to_a_hundredth_of_a_decibel() -> None:
    """Compared with the ideal: soxr's gain at 7 kHz of 16 kHz is 0.0065 dB low, and nothing is shifted."""
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    actual = normalized(0.9 * np.sin(2 * np.pi * 7000 * time), RATE_HZ)
    ideal = 0.9 * np.sin(2 * np.pi * 7000 * np.arange(len(actual)) / SAMPLE_RATE_HZ)
    inner = slice(2000, -2000)
    gain = actual[inner] @ ideal[inner] / (ideal[inner] @ ideal[inner])
    assert abs(20 * np.log10(gain)) < 0.01
    assert signal_to_noise_db(gain * ideal[inner], actual[inner]) > 90


def test_loudness_does_not_change_and_overloads_are_clipped() -> None:
    quiet = 0.01 * np.sin(np.arange(16_000) * 0.3)
    assert np.abs(normalized(quiet, 16_000) - quiet).max() < 3 / 32768
    loud = 3.0 * np.sin(np.arange(16_000) * 0.01)
    clipped = normalized(loud, 16_000)
    assert clipped.max() == pytest.approx(32767 / 32768)
    assert clipped.min() == -1.0


def test_dither_keeps_a_signal_below_one_step() -> None:
    """A sine of a third of a step would vanish in rounding; with dither it is still there."""
    sine = np.sin(2 * np.pi * 1000 * np.arange(160_000) / 16_000)
    dithered = normalized(sine / 3 / 32768, 16_000)
    assert np.mean(dithered * sine) * 2 * 32768 == pytest.approx(1 / 3, rel=0.1)


def test_the_same_recording_gives_the_same_file() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(30_000)
    assert np.array_equal(normalized(noise, RATE_HZ), normalized(noise, RATE_HZ))
