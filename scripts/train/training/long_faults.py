"""Clipping and hum: faults that last. Hum has the form of ``faults``; clipping says which samples are overloaded."""

from __future__ import annotations

import numpy as np
from scipy.signal import sosfilt

from training.faults import Placed, log_uniform
from training.levels import bandpass, db, envelope, fade_in, gain, rms


def squash(x: np.ndarray, limit: float, kind: str) -> np.ndarray:
    """Overload x (samples,) at +-limit: hard, soft (tanh), cubic, or one side only."""
    if kind == "hard":
        return np.clip(x, -limit, limit)
    if kind == "soft":
        return limit * np.tanh(x / limit)
    if kind == "cubic":
        scaled = np.clip(x / (1.5 * limit), -1, 1)
        return 1.5 * limit * (scaled - scaled**3 / 3)
    return np.clip(x, -4 * limit, limit)


def distortion_db(x: np.ndarray, limit: float, kind: str) -> float:
    """Signal to distortion ratio in dB of squashing x (samples,), after the best linear gain is taken out."""
    y = squash(x, limit, kind)
    slope = float(np.dot(x, y) / max(np.dot(x, x), 1e-12))
    return db(rms(slope * x) / max(rms(y - slope * x), 1e-9))


def limit_for(x: np.ndarray, target_db: float, kind: str) -> float:
    """The limit at which squashing x (samples,) leaves ``target_db`` of signal over distortion, by bisection."""
    low, high = 1e-3 * float(np.abs(x).max()), float(np.abs(x).max())
    for _ in range(14):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if distortion_db(x, middle, kind) < target_db else (low, middle)
    return high


def clipping(rng: np.random.Generator, x: np.ndarray, rate_hz: int, at: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Overload of 0.2 s to the whole recording, set by its distortion, with or without make-up gain.

    Returns the overloaded recording and the indices of its overloaded samples, rising; None where it does not suit."""
    whole = rng.random() < 0.2
    num = len(x) if whole else int(log_uniform(rng, 0.2, 4.0) * rate_hz)
    start = 0 if whole else at
    end = min(len(x), start + num)
    part = x[start:end]
    if end - start < 0.2 * rate_hz or rms(part) < 10 ** (-50 / 20):
        return None
    kind = str(rng.choice(["hard", "hard", "hard", "soft", "cubic", "one_sided"]))
    target_db = rng.uniform(5, 22)
    limit = limit_for(part, target_db, kind)
    over = np.flatnonzero(np.abs(part) > limit * (1.0 if kind in {"hard", "one_sided"} else 0.8))
    if len(over) < 20 or over[-1] - over[0] < 0.15 * rate_hz:
        return None
    squashed = squash(part, limit, kind)
    if rng.random() < 0.6:
        ceiling = rng.uniform(0.5, 1.0) if rng.random() < 0.5 else min(1.0, limit * gain(rng.uniform(0, 12)))
        make_up = max(1.0, ceiling / limit)
        ramp = np.full(len(part), make_up, np.float32)
        if not whole:
            edge = min(len(part) // 4, int(log_uniform(rng, 0.001, 0.02) * rate_hz))
            ramp[:edge] = 1 + (make_up - 1) * fade_in(edge)
            ramp[-edge:] = 1 + (make_up - 1) * fade_in(edge)[::-1]
        squashed = squashed * ramp
    y = x.copy()
    y[start:end] = squashed
    return y, start + over


def hum(rng: np.random.Generator, x: np.ndarray, rate_hz: int, at: int) -> Placed:
    """Mains hum of a second to the whole recording, with harmonics, set against the recording under 1 kHz."""
    whole = rng.random() < 0.35
    num = len(x) if whole else int(log_uniform(rng, 1.0, 5.0) * rate_hz)
    start = 0 if whole else min(at, max(0, len(x) - num))
    end = min(len(x), start + num)
    t = np.arange(end - start) / rate_hz
    base_hz = float(rng.choice([50.0, 60.0])) * (1 + rng.uniform(-0.002, 0.002))
    harmonics = int(rng.integers(3, 20))
    slope = rng.uniform(0.5, 2.0)
    odd_only, even_strong, even_only = rng.random() < 0.3, rng.random() < 0.4, rng.random() < 0.25
    drift = rng.uniform(0, 0.01) * np.sin(2 * np.pi * rng.uniform(0.1, 0.6) * t) if rng.random() < 0.25 else 0.0
    turns = np.cumsum(base_hz * (1 + drift) * np.ones(len(t))) / rate_hz
    tone = np.zeros(len(t))
    for k in range(1, harmonics + 1):
        weight = k**-slope * rng.uniform(0.3, 1.0)
        if (odd_only and k % 2 == 0) or (k == 1 and rng.random() < 0.15):
            weight *= 0.1
        if even_strong and not odd_only and k % 2 == 0:
            weight *= 2.5
        if even_only and not odd_only and k % 2:
            weight *= 0.02
        if k * base_hz < 0.45 * rate_hz:
            tone += weight * np.sin(2 * np.pi * k * turns + rng.uniform(0, 6.3))
    edge = int(log_uniform(rng, 0.005, 0.25) * rate_hz)
    shape = np.ones(len(t), np.float32) if whole else envelope(len(t), edge)
    sos = bandpass(rate_hz, 200 if rate_hz <= 8000 else 30, 1000)
    in_band = rms(sosfilt(sos, x[start:end]))
    level = max(in_band, 10 ** (-58 / 20)) * gain(rng.uniform(-17, 12)) / max(rms(sosfilt(sos, tone)), 1e-9)
    level = min(level, 0.5 / np.abs(tone).max())
    y = x.copy()
    y[start:end] += (level * tone * shape).astype(np.float32)
    trim = 0 if whole else edge // 3
    return y, start + trim, end - trim
