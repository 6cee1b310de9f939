"""Hard negatives that are distorted on purpose, as the voices and machines of games are: nothing in them is a fault.

Each is ``(rng, x, rate_hz) -> y``, both (samples,) float32 of one length.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import soxr
from scipy import signal
from scipy.ndimage import uniform_filter1d

from training.faults import log_uniform
from training.levels import bandpass, envelope, gain, rms


def _as_loud(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (y * (rms(x) / max(rms(y), 1e-6))).astype(np.float32)


def modulated(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """The sound times a tone, whole or in part, with a wandering pitch: metal voices, growls, propellers."""
    t = np.arange(len(x)) / rate_hz
    pitch_hz = log_uniform(rng, 12, 350) * (1 + rng.choice([0, 0.15]) * np.sin(2 * np.pi * rng.uniform(0.2, 4) * t))
    tone = np.sin(2 * np.pi * np.cumsum(pitch_hz) / rate_hz)
    if rng.random() < 0.3:
        tone = np.tanh(rng.uniform(1, 6) * tone)
    depth = rng.uniform(0.4, 1.0)
    return _as_loud(x * (1 - depth + depth * tone), x)


def echoing(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """A short echo that feeds itself or not: voices in pipes, flangers, helmets."""
    delay = int(log_uniform(rng, 0.0015, 0.03) * rate_hz)
    weight = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 0.88)
    taps = np.zeros(delay + 1)
    taps[0], taps[-1] = 1.0, weight
    return _as_loud(signal.lfilter([1.0], taps, x) if rng.random() < 0.6 else signal.lfilter(taps, [1.0], x), x)


def vocoded(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """The loudness of each band on a buzz or on noise: a robot or a whisper says it."""
    t = np.arange(len(x)) / rate_hz
    buzz = signal.sawtooth(2 * np.pi * log_uniform(rng, 60, 250) * t)
    carrier = rng.standard_normal(len(x)) if rng.random() < 0.3 else buzz
    edges = np.geomspace(120, min(8000.0, 0.45 * rate_hz), int(rng.integers(7, 17)))
    y = np.zeros(len(x))
    for low, high in pairwise(edges):
        sos = bandpass(rate_hz, low, high)
        level = np.sqrt(np.maximum(uniform_filter1d(np.square(signal.sosfilt(sos, x)), int(0.015 * rate_hz)), 0))
        y += signal.sosfilt(sos, carrier) * level
    return _as_loud(y, x)


def radio(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """A voice over a radio: a narrow band, evened loudness, steady hiss, and the key that opens and closes it."""
    y = signal.sosfilt(bandpass(rate_hz, rng.uniform(150, 600), rng.uniform(1800, 4500)), x)
    level = np.sqrt(np.maximum(uniform_filter1d(np.square(y), int(rng.uniform(0.01, 0.05) * rate_hz)), 0))
    y = y * (level + 0.08 * rms(y) + 1e-6) ** -rng.uniform(0.4, 0.9)
    y = _as_loud(y, x)
    opened = np.ones(len(x), np.float32)
    if rng.random() < 0.5:
        num = int(rng.uniform(1.2, 6) * rate_hz)
        start = int(rng.integers(0, max(1, len(x) - num)))
        opened[:] = 0
        opened[start : start + num] = envelope(min(num, len(x) - start), int(log_uniform(rng, 0.003, 0.05) * rate_hz))
    hiss = rng.standard_normal(len(x)) * max(rms(x), 1e-3) * gain(-rng.uniform(18, 45))
    return ((y + hiss) * opened).astype(np.float32)


def slowed(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """The sound much slower, and rough: monsters and great engines."""
    factor = log_uniform(rng, 1.5, 4.5)
    slow = soxr.resample(x[: int(len(x) / factor) + 2], 1, factor, quality="HQ")[: len(x)]
    y = np.pad(slow, (0, len(x) - len(slow)))
    if rng.random() < 0.6:
        y = modulated(rng, y, rate_hz) if rng.random() < 0.4 else y * _roughness(rng, len(x), rate_hz)
    return _as_loud(y, x)


def _roughness(rng: np.random.Generator, num: int, rate_hz: int) -> np.ndarray:
    t = np.arange(num) / rate_hz
    wander = rng.uniform(0, 3) * np.sin(2 * np.pi * rng.uniform(0.5, 6) * t)
    return 1 + rng.uniform(0.2, 0.8) * np.sin(2 * np.pi * rng.uniform(10, 60) * t + wander)


def engine(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """A short piece of the sound over and over, its seams faded, as a motor or a rotor runs."""
    y, at = np.zeros(len(x), np.float32), 0
    while at < len(x):
        num = min(len(x) - at, int(rng.uniform(1.5, 8) * rate_hz))
        period = int(log_uniform(rng, 0.06, 0.8) * rate_hz)
        start = int(rng.integers(0, max(1, len(x) - period)))
        turn = x[start : start + period]
        turn = turn * envelope(len(turn), int(rng.uniform(0.05, 0.4) * len(turn)))
        y[at : at + num] = np.resize(turn, num) * envelope(num, int(rng.uniform(0.02, 0.3) * rate_hz))
        at += num
    return _as_loud(y, x)


def bassy(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """The sound with its own bass an octave or two lower under it: rumbles and notes near the mains' frequencies."""
    low = signal.sosfilt(bandpass(rate_hz, rng.uniform(25, 45), log_uniform(rng, 120, 400)), slowed(rng, x, rate_hz))
    return (x + low * (rms(x) * gain(rng.uniform(-10, 4)) / max(rms(low), 1e-6))).astype(np.float32)


EFFECTS = (
    (modulated, 0.1),
    (echoing, 0.06),
    (vocoded, 0.05),
    (radio, 0.1),
    (slowed, 0.08),
    (engine, 0.08),
    (bassy, 0.05),
)
