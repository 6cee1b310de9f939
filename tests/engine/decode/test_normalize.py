"""The normalised file against the signal that it was made from."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
import soundfile
import soxr

from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.decode.normalize import SAMPLE_RATE_HZ, normalise
from tests.support.audio import wav

RATE_HZ = 44_100


def normalised(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target, Decoder(DecodeLimits()) as decoder:
        source.write(wav(samples.astype(np.float32), rate_hz, "FLOAT"))
        source.flush()
        with decoder.decode(source, SAMPLE_RATE_HZ) as audio:
            normalise(audio, target)
        target.seek(0)
        found, rate = soundfile.read(target, dtype="float64")
        target.seek(0)
        assert soundfile.info(target).subtype == "PCM_16"
    assert rate == SAMPLE_RATE_HZ
    return found


def sweep(seconds: float) -> np.ndarray:
    """A sine at 0.9 of full scale that rises from 20 Hz to 7 kHz: (num_samples,) at 44.1 kHz."""
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return 0.9 * np.sin(2 * np.pi * (20 * time + (7000 - 20) * time**2 / (2 * seconds)))


def signal_to_noise_db(wanted: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(wanted**2) / np.mean((found - wanted) ** 2)))


def test_a_sweep_up_to_7_khz_keeps_90_db():
    """Against the same resampler in one go and in double precision: what streaming, 16 bits and dither cost."""
    source = sweep(5.0)
    wanted = soxr.resample(source, RATE_HZ, SAMPLE_RATE_HZ, quality="HQ")
    found = normalised(source, RATE_HZ)
    assert len(found) == len(wanted) == 80_000
    assert signal_to_noise_db(wanted, found) > 90


def test_the_passband_is_flat_to_a_hundredth_of_a_decibel():
    """Against the ideal: soxr's gain at 7 kHz of 16 kHz is 0.0065 dB low, and nothing is shifted."""
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    found = normalised(0.9 * np.sin(2 * np.pi * 7000 * time), RATE_HZ)
    ideal = 0.9 * np.sin(2 * np.pi * 7000 * np.arange(len(found)) / SAMPLE_RATE_HZ)
    inner = slice(2000, -2000)
    gain = found[inner] @ ideal[inner] / (ideal[inner] @ ideal[inner])
    assert abs(20 * np.log10(gain)) < 0.01
    assert signal_to_noise_db(gain * ideal[inner], found[inner]) > 90


def test_loudness_is_left_alone_and_overloads_are_clipped():
    quiet = 0.01 * np.sin(np.arange(16_000) * 0.3)
    assert np.abs(normalised(quiet, 16_000) - quiet).max() < 3 / 32768
    loud = 3.0 * np.sin(np.arange(16_000) * 0.01)
    found = normalised(loud, 16_000)
    assert found.max() == pytest.approx(32767 / 32768)
    assert found.min() == -1.0


def test_dither_keeps_what_is_below_a_step():
    """A sine of a third of a step would vanish in rounding; under dither it is still there."""
    sine = np.sin(2 * np.pi * 1000 * np.arange(160_000) / 16_000)
    found = normalised(sine / 3 / 32768, 16_000)
    assert np.mean(found * sine) * 2 * 32768 == pytest.approx(1 / 3, rel=0.1)


def test_the_same_recording_gives_the_same_file():
    noise = 0.1 * np.random.default_rng(0).standard_normal(30_000)
    assert np.array_equal(normalised(noise, RATE_HZ), normalised(noise, RATE_HZ))
