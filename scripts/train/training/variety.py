"""More recordings out of few: stretches played faster or slower, mixed, filtered, in a room. None of it is a fault."""

from __future__ import annotations

import numpy as np
import soxr
from scipy import signal

from training.labels import SAMPLE_RATE_HZ
from training.levels import gain
from training.sources import Pool


def _speed(rng: np.random.Generator, pool: Pool, num_samples: int) -> tuple[np.ndarray, dict]:
    """A stretch (num_samples,) at up to a third more or less than its speed, as a tape would play it."""
    factor = float(np.exp(rng.uniform(np.log(0.75), np.log(1.33)))) if rng.random() < 0.4 else 1.0
    source, entry = pool.draw(rng, int(num_samples * factor) + 64)
    if factor != 1.0:
        source = soxr.resample(source, SAMPLE_RATE_HZ * factor, SAMPLE_RATE_HZ, quality="HQ").astype(np.float32)
    return source[:num_samples], entry


def _equalised(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """x through a smooth random response of up to 12 dB, at times with its treble or bass cut off."""
    hz = np.fft.rfftfreq(len(x), 1 / SAMPLE_RATE_HZ)
    points = np.geomspace(40, 16_000, 7)
    response = np.interp(np.log(np.maximum(hz, 20)), np.log(points), rng.uniform(-12, 6, len(points)))
    if rng.random() < 0.3:
        cut = np.exp(rng.uniform(np.log(2500), np.log(13_000)))
        response -= 60 * np.clip(np.log2(np.maximum(hz, 1) / cut) * 3, 0, 1)
    if rng.random() < 0.2:
        cut = np.exp(rng.uniform(np.log(60), np.log(400)))
        response -= 50 * np.clip(np.log2(cut / np.maximum(hz, 1)) * 2, 0, 1)
    return np.fft.irfft(np.fft.rfft(x) * 10 ** (response / 20), len(x)).astype(np.float32)


def _in_a_room(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """x with the decaying echoes of a room, 0.1 to 0.7 s long."""
    num = int(rng.uniform(0.1, 0.7) * SAMPLE_RATE_HZ)
    tail = rng.standard_normal(num) * np.exp(-6.9 * np.arange(num) / num)
    tail *= rng.uniform(0.1, 0.6) / np.sqrt(np.sum(tail**2))
    return x + signal.fftconvolve(x, tail)[: len(x)].astype(np.float32)


def varied(rng: np.random.Generator, pool: Pool, num_samples: int) -> tuple[np.ndarray, dict]:
    """Draw a stretch and vary it. Returns ((num_samples,) float32 within full scale, the first recording's entry)."""
    x, entry = _speed(rng, pool, num_samples)
    if rng.random() < 0.25:
        x = x + gain(-rng.uniform(0, 20)) * _speed(rng, pool, num_samples)[0]
    if rng.random() < 0.35:
        x = _equalised(rng, x)
    if rng.random() < 0.12:
        x = _in_a_room(rng, x)
    peak = float(np.abs(x).max())
    return (x * (0.9 / peak) if peak > 0.9 else x).astype(np.float32), entry
