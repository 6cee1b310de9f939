"""Hard negatives: sounds that resemble a fault but are not one, added to a clean recording or made from it.

Each is ``(rng, x, rate_hz) -> y``, both (samples,) float32 of one length.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import signal
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from training.effects import EFFECTS
from training.faults import log_uniform
from training.levels import bandpass, envelope, fade_in, gain, rms

Lookalike = Callable[[np.random.Generator, np.ndarray, int], np.ndarray]


def _add(x: np.ndarray, sound: np.ndarray, at: int, level: float) -> None:
    """Add ``sound``, scaled to a peak of ``level``, into x from sample ``at`` on, cut at the end."""
    part = x[at : at + len(sound)]
    peak = float(np.abs(sound).max()) or 1.0
    part += (sound[: len(part)] * (level / peak)).astype(np.float32)


def _loudness(rng: np.random.Generator, x: np.ndarray) -> float:
    return float(np.clip(np.abs(x).max() * gain(rng.uniform(-14, 4)), 0.02, 0.9))


def _drum(rng: np.random.Generator, rate_hz: int) -> np.ndarray:
    """One percussive sound (samples,): kick, snare, hat, stick, knock or key."""
    kind = rng.choice(["kick", "snare", "hat", "stick", "key", "clap"])
    t = np.arange(int(0.35 * rate_hz)) / rate_hz
    noise = rng.standard_normal(len(t))
    attack = np.minimum(1, t / rng.uniform(0.0002, 0.004))
    if kind == "kick":
        sweep = rng.uniform(45, 70) * t + rng.uniform(1, 6) * (1 - np.exp(-t / 0.02))
        return attack * np.sin(2 * np.pi * sweep) * np.exp(-t / rng.uniform(0.05, 0.15))
    if kind == "snare":
        body = np.sin(2 * np.pi * rng.uniform(150, 280) * t) * np.exp(-t / 0.05)
        return attack * (body + rng.uniform(0.5, 2) * noise * np.exp(-t / rng.uniform(0.02, 0.1)))
    if kind == "hat":
        high = signal.sosfilt(bandpass(rate_hz, rng.uniform(2500, 8000), rate_hz), noise)
        return attack * high * np.exp(-t / log_uniform(rng, 0.008, 0.1))
    if kind == "clap":
        bursts = sum(np.where(t >= d, np.exp(-(t - d) / 0.008), 0) for d in np.sort(rng.uniform(0, 0.03, 4)))
        return signal.sosfilt(bandpass(rate_hz, 700, 5000), noise) * bursts
    resonances = sum(
        rng.uniform(0.2, 1)
        * np.sin(2 * np.pi * log_uniform(rng, 300, 9000) * t + rng.uniform(0, 6))
        * np.exp(-t / log_uniform(rng, 0.004, 0.04))
        for _ in range(int(rng.integers(2, 7)))
    )
    if kind == "key":
        resonances = resonances + rng.uniform(0.2, 1) * noise * np.exp(-t / rng.uniform(0.003, 0.015))
        again = int(rng.uniform(0.04, 0.14) * rate_hz)
        resonances[again:] += rng.uniform(0.3, 0.9) * resonances[:-again]
    return attack * resonances


def percussion(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """A beat, or scattered knocks and keys, played over the recording; a beat repeats its samples exactly."""
    y = x.copy()
    kit = [_drum(rng, rate_hz) for _ in range(int(rng.integers(1, 4)))]
    level = _loudness(rng, x)
    step = log_uniform(rng, 0.09, 0.6) * rate_hz
    regular = rng.random() < 0.5
    at = rng.uniform(0, step)
    while at < len(x) - 64:
        sound = kit[rng.integers(len(kit))]
        _add(y, sound, int(at), level * (1.0 if regular else rng.uniform(0.2, 1)))
        at += step if regular else rng.exponential(step) + 0.03 * rate_hz
    return y


def doors(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """Slams and thuds: low-passed noise with a fast attack and a reverberant tail."""
    y = x.copy()
    for _ in range(int(rng.integers(1, 4))):
        t = np.arange(int(rng.uniform(0.3, 1.2) * rate_hz)) / rate_hz
        noise = signal.sosfilt(bandpass(rate_hz, 30, log_uniform(rng, 200, 4000)), rng.standard_normal(len(t)))
        sound = noise * np.exp(-t / rng.uniform(0.05, 0.3)) * np.minimum(1, t / rng.uniform(0.0005, 0.01))
        _add(y, sound, int(rng.integers(0, len(x) - 64)), _loudness(rng, x))
    return y


def drone(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """Bass notes and drones near the mains' frequencies that are not hum: notes, vibrato, swells, other pitches."""
    y = x.copy()
    at = int(rng.uniform(0, 1) * rate_hz)
    note_seconds = log_uniform(rng, 0.2, 4.0)
    level = _loudness(rng, x)
    timbre = rng.choice(["sine", "saw", "square", "organ"])
    while at < len(x) - 64:
        num = min(len(x) - at, int(note_seconds * rate_hz))
        midi = rng.integers(26, 52) + rng.choice([0, 0, rng.uniform(-0.5, 0.5)])
        pitch_hz = 440 * 2 ** ((midi - 69) / 12)
        if min(abs(pitch_hz - 50), abs(pitch_hz - 60), abs(pitch_hz - 100), abs(pitch_hz - 120)) < 1.0:
            pitch_hz *= 1.06
        t = np.arange(num) / rate_hz
        vibrato = rng.choice([0, rng.uniform(0, 0.01)]) * np.sin(2 * np.pi * rng.uniform(3, 7) * t)
        phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + vibrato)) / rate_hz
        sound = np.sin(phase)
        if timbre == "saw":
            sound = np.sum([np.sin(k * phase) / k for k in range(1, 12)], axis=0)
        elif timbre == "square":
            sound = np.sum([np.sin(k * phase) / k for k in range(1, 16, 2)], axis=0)
        elif timbre == "organ":
            sound = np.sum([np.sin(k * phase) for k in (1, 2, 4, 6)], axis=0) / 4
        sound = (
            sound
            * np.exp(-t / rng.choice([100.0, rng.uniform(0.2, 2)]))
            * envelope(num, int(rng.uniform(0.003, 0.1) * rate_hz))
        )
        _add(y, sound, at, level)
        at += num if rng.random() < 0.8 else int(num * 1.5)
    return y


def synthesiser(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """Electronic music: plain square, pulse and saw waves with hard gates, which have flat tops and exact repeats."""
    y = x * gain(rng.uniform(-30, 0))
    level = _loudness(rng, x)
    step = log_uniform(rng, 0.06, 0.4)
    duty, kind = rng.uniform(0.1, 0.9), rng.choice(["pulse", "saw", "triangle"])
    edge = int(log_uniform(rng, 0.002, 0.02) * rate_hz)
    root = rng.integers(36, 72)
    at = 0
    while at < len(x) - 64:
        num = min(len(x) - at, int(step * rng.choice([1, 1, 2, 4]) * rate_hz))
        phase = 2 * np.pi * 440 * 2 ** ((root + rng.choice([0, 3, 7, 12, 15]) - 69) / 12) * np.arange(num) / rate_hz
        wave = (
            signal.square(phase, duty)
            if kind == "pulse"
            else signal.sawtooth(phase, 0.5 if kind == "triangle" else 1.0)
        )
        wave = wave * np.exp(-np.arange(num) / rate_hz / rng.choice([0.1, 0.3, 10.0])) * envelope(num, edge)
        if rng.random() < 0.8:
            _add(y, wave, at, level)
        at += num
    return y


def gated_pauses(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """A noise gate: quiet stretches go to silence by ramps of 4 to 60 ms, and long pauses are cut in with ramps too."""
    window = int(0.02 * rate_hz)
    power = uniform_filter1d(np.square(x), window)
    threshold = np.quantile(power, rng.uniform(0.1, 0.5))
    opened = (power > threshold).astype(np.float32)
    hold = int(rng.uniform(0.02, 0.15) * rate_hz)
    opened = maximum_filter1d(opened, hold)
    ramp = int(log_uniform(rng, 0.004, 0.06) * rate_hz)
    gate = uniform_filter1d(opened, ramp)
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 3))):
            num = int(rng.uniform(0.1, 1.2) * rate_hz)
            at = int(rng.integers(0, max(1, len(x) - num)))
            edge = int(log_uniform(rng, 0.012, 0.1) * rate_hz)
            gate[at : at + num] *= 1 - envelope(num, edge)[: len(gate) - at]
    floor = gain(-rng.uniform(30, 90)) if rng.random() < 0.7 else 0.0
    return (x * (floor + (1 - floor) * gate[: len(x)])).astype(np.float32)


def fades(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """Fades in and out, hard starts and ends against silence, tremolo, and abrupt changes of level."""
    y = x.copy()
    kind = rng.choice(["start", "end", "both", "tremolo", "level"])
    silent = int(rng.uniform(0.2, 3) * rate_hz)
    edge = int(log_uniform(rng, 0.001, 1.0) * rate_hz)
    if kind in {"start", "both"}:
        y[:silent] = 0
        rise = fade_in(edge)[: max(0, len(y) - silent)]
        y[silent : silent + edge] *= rise
    if kind in {"end", "both"}:
        y[len(y) - silent :] = 0
        fall = fade_in(edge)[::-1]
        begin = max(0, len(y) - silent - edge)
        y[begin : len(y) - silent] *= fall[-(len(y) - silent - begin) :]
    if kind == "tremolo":
        y *= (1 + rng.uniform(0.2, 1) * np.sin(2 * np.pi * rng.uniform(3, 14) * np.arange(len(x)) / rate_hz)).astype(
            np.float32
        ) / 2
    if kind == "level":
        at = int(rng.integers(0, len(x)))
        edge = max(edge, int(0.005 * rate_hz))
        ramp = fade_in(edge)[: len(x) - at]
        change = gain(rng.uniform(-18, -3))
        y[at:] *= change
        y[at : at + len(ramp)] *= (1 + (1 / change - 1) * (1 - ramp)).astype(np.float32)
    return y


def steady_noise(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """Noise that is part of the recording: hiss, rain, wind, applause, waves - over a second long, with slow edges."""
    white = rng.standard_normal(len(x))
    low = log_uniform(rng, 30, 2000)
    noise = signal.sosfilt(bandpass(rate_hz, low, low * log_uniform(rng, 3, 100), 1), white)
    kind = rng.choice(["hiss", "waves", "applause", "whoosh"])
    t = np.arange(len(x)) / rate_hz
    if kind == "waves":
        noise *= 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.1, 0.7) * t + rng.uniform(0, 6))
    elif kind == "applause":
        claps = (rng.random(len(x)) < rng.uniform(10, 200) / rate_hz) * rng.uniform(0.2, 1, len(x))
        noise *= signal.lfilter([1], [1, -np.exp(-1 / (0.01 * rate_hz))], claps)
    elif kind == "whoosh":
        centre, width = rng.uniform(0, t[-1]), rng.uniform(0.15, 0.8)
        noise *= np.exp(-(((t - centre) / width) ** 2))
    level = max(rms(x), 0.003) * gain(rng.uniform(-40, 0) if kind == "hiss" else rng.uniform(-20, 6))
    return (x + noise * (level / max(rms(noise), 1e-9))).astype(np.float32)


def limited(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """A mastering limiter: loud and dense, its gain moving smoothly, so that no wave has its top cut."""
    drive = x * (gain(rng.uniform(0, 14)))
    reach = int(rng.uniform(0.002, 0.01) * rate_hz)
    ceiling = float(np.abs(x).max()) * rng.uniform(0.4, 1.0) + 1e-6
    held = maximum_filter1d(np.abs(drive), 4 * reach + 1)
    reduction = uniform_filter1d(np.minimum(1, ceiling / np.maximum(held, 1e-9)), 2 * reach + 1)
    return (drive * reduction).astype(np.float32)


def loop(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """A sampler's loop: a stretch of 0.35 s or more repeated with crossfades, as dance music is built."""
    num = int(rng.uniform(0.35, 1.5) * rate_hz)
    blend = int(rng.uniform(0.01, 0.05) * rate_hz)
    start = int(rng.integers(0, max(1, len(x) - num - blend)))
    bar = x[start : start + num + blend].copy()
    bar[:blend] *= fade_in(blend)
    bar[num : num + blend] *= fade_in(blend)[::-1][: len(bar) - num]
    y = np.zeros(len(x) + len(bar), np.float32)
    for at in range(0, len(x), num):
        y[at : at + len(bar)] += bar
    return y[: len(x)]


LOOKALIKES: tuple[tuple[Lookalike, float], ...] = (
    (percussion, 0.24),
    (doors, 0.08),
    (drone, 0.13),
    (synthesiser, 0.1),
    (gated_pauses, 0.17),
    (fades, 0.1),
    (steady_noise, 0.1),
    (limited, 0.06),
    (loop, 0.07),
    *EFFECTS,
)


def lookalike(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return one hard negative, drawn by its share. If it overshoots full scale it is turned down, not clipped."""
    shares = np.array([share for _, share in LOOKALIKES])
    y = LOOKALIKES[rng.choice(len(LOOKALIKES), p=shares / shares.sum())][0](rng, x, rate_hz)
    peak = float(np.abs(y).max())
    return (y * (0.98 / peak) if peak > 0.98 else y).astype(np.float32)
