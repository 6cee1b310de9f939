"""Levels of a signal near an instant: what a fault must stand out from."""

from __future__ import annotations

import numpy as np
from scipy import signal


def rms(x: np.ndarray) -> float:
    """Root mean square of (samples,); 0 for an empty stretch."""
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if len(x) else 0.0


def db(ratio: float) -> float:
    """Amplitude ratio in decibels, floored at -120."""
    return 20.0 * np.log10(max(ratio, 1e-6))


def gain(decibels: float) -> float:
    """Amplitude ratio of a level in decibels."""
    return float(10.0 ** (decibels / 20.0))


def around(x: np.ndarray, start: int, end: int, margin: int) -> np.ndarray:
    """The stretch [start - margin, end + margin) of x, cut at its ends."""
    return x[max(0, start - margin) : min(len(x), end + margin)]


def sounding(x: np.ndarray, rate_hz: int, start: int, end: int, floor: float) -> bool:
    """Whether sound goes on before, inside and after [start, end): each stretch of 60 ms or more is above ``floor``."""
    margin = int(0.06 * rate_hz)
    if start < margin or end + margin > len(x):
        return False
    inside = x[start:end] if end - start >= margin // 2 else around(x, start, end, margin // 2)
    return min(rms(x[start - margin : start]), rms(inside), rms(x[end : end + margin])) > floor


def audible_floor(x: np.ndarray) -> float:
    """RMS under which a stretch of x counts as a pause: 20 dB under the whole, and never under -55 dBFS."""
    return max(0.1 * rms(x), 10 ** (-55 / 20))


def bandpass(rate_hz: int, low_hz: float, high_hz: float, order: int = 2) -> np.ndarray:
    """Second-order sections of a Butterworth band-pass; the edges are kept inside (10 Hz, 0.49 * rate)."""
    high = min(high_hz, 0.49 * rate_hz)
    low = min(max(low_hz, 10.0), 0.7 * high)
    return signal.butter(order, [low, high], "bandpass", fs=rate_hz, output="sos")


def fade_in(num_samples: int) -> np.ndarray:
    """Raised-cosine rise (num_samples,) from 0 to 1."""
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(num_samples) + 0.5) / max(1, num_samples))).astype(np.float32)


def envelope(num_samples: int, edge: int) -> np.ndarray:
    """Ones (num_samples,) with raised-cosine edges of ``edge`` samples on both sides."""
    shape = np.ones(num_samples, np.float32)
    edge = min(edge, num_samples // 2)
    if edge:
        rise = fade_in(edge)
        shape[:edge] *= rise
        shape[-edge:] *= rise[::-1]
    return shape
