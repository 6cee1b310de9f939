"""Short and long faults written into a recording.

Every fault is a function ``(rng, x, rate_hz, at) -> (y, start, end) | None``. x and y are (samples,) float32. ``at`` is
the sample at which the fault should begin, and [start, end) is its range in y. None means that the place does not suit
it: a gap in silence is not a dropout. A fault may shorten or lengthen what follows it, never what precedes it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import signal

from training.levels import around, audible_floor, bandpass, db, envelope, fade_in, gain, rms, sounding

Placed = tuple[np.ndarray, int, int] | None
Fault = Callable[[np.random.Generator, np.ndarray, int, int], Placed]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def click(rng: np.random.Generator, x: np.ndarray, rate_hz: int, at: int) -> Placed:
    """An impulse of one sample to a few ms: single, doublet, ringing, step, pulse or pop, scaled to its place."""
    kind = rng.choice(["single", "single", "few", "ring", "step", "step", "pulse", "pop", "stuck"])
    if kind == "single":
        shape = np.array([1.0])
    elif kind == "few":
        shape = rng.uniform(-1, 1, rng.integers(2, 8))
    elif kind == "ring":
        t = np.arange(int(rng.uniform(0.0005, 0.004) * rate_hz)) / rate_hz
        shape = np.sin(2 * np.pi * log_uniform(rng, 400, 0.45 * rate_hz) * t + rng.uniform(0, 6.3))
        shape = shape * np.exp(-t / rng.uniform(0.0002, 0.001))
    elif kind == "step":
        decay = log_uniform(rng, 0.0003, 0.006)
        shape = np.exp(-np.arange(int(5 * decay * rate_hz) + 1) / rate_hz / decay)
    elif kind == "pulse":
        shape = np.ones(int(log_uniform(rng, 0.0002, 0.004) * rate_hz) + 1)
    elif kind == "pop":
        num = int(log_uniform(rng, 0.001, 0.004) * rate_hz) + 2
        rise = max(1, int(num * rng.uniform(0.05, 0.5)))
        shape = np.concatenate([fade_in(rise), fade_in(num - rise)[::-1]])
        if rng.random() < 0.5:
            shape = np.concatenate([shape, -rng.uniform(0.3, 1) * np.repeat(shape, 2)])
    else:
        num = int(rng.integers(1, 6))
        if at + num >= len(x):
            return None
        y = x.copy()
        y[at : at + num] = rng.choice([-1.0, 1.0]) * max(
            rng.uniform(0.3, 1.0), float(np.abs(around(x, at, at, rate_hz // 10)).max())
        )
        return y, at, at + num
    if at + len(shape) >= len(x):
        return None
    shape = shape / np.abs(shape).max()
    near = around(x, at, at, rate_hz // 10)
    fine = rms(np.diff(near, n=2)) + 1e-5
    own = np.sqrt(np.mean(np.square(np.diff(np.pad(shape, 4), n=2)))) * np.sqrt((len(shape) + 6) / (0.002 * rate_hz))
    amplitude = fine / max(own, 1e-3) * gain(rng.uniform(12, 34))
    peak = float(np.abs(near).max())
    most = 1.5 if kind in {"single", "few", "ring"} else max(peak * rng.uniform(0.3, 2), 0.01)
    amplitude = float(np.clip(max(amplitude, 0.15 * peak), 0.004, most))
    y = x.copy()
    y[at : at + len(shape)] += amplitude * rng.choice([-1, 1]) * shape
    return y, at, at + len(shape)


def dropout(rng: np.random.Generator, x: np.ndarray, rate_hz: int, at: int) -> Placed:
    """A gap of 20 to 400 ms: digital zero, or 35 dB and more down, with hard or 1 ms edges."""
    num = int(log_uniform(rng, 0.02, 0.4) * rate_hz)
    if not sounding(x, rate_hz, at, at + num, audible_floor(x)):
        return None
    inside = np.zeros(num, np.float32)
    if rng.random() < 0.25:
        inside += rms(x[at : at + num]) * gain(-rng.uniform(38, 60)) * rng.standard_normal(num).astype(np.float32)
    if rng.random() < 0.15:
        inside += x[at : at + num] * gain(-rng.uniform(35, 60))
    keep = np.zeros(num, np.float32)
    if rng.random() < 0.4:
        edge = max(1, int(rng.uniform(0.0005, 0.0015) * rate_hz))
        keep[:edge] = fade_in(edge)[::-1]
        keep[-edge:] = fade_in(edge)
    y = x.copy()
    y[at : at + num] = x[at : at + num] * keep + inside
    return y, at, at + num


def stutter(rng: np.random.Generator, x: np.ndarray, rate_hz: int, at: int) -> Placed:
    """A buffer played again, once or several times, over what follows or pushing it back."""
    block = int(log_uniform(rng, 0.005, 0.15) * rate_hz)
    most = max(1, int(0.3 * rate_hz) // block)
    times = int(rng.integers(1, min(most, 10) + 1))
    if at < block or not sounding(x, rate_hz, at, at + times * block, audible_floor(x)):
        return None
    repeats = np.tile(x[at - block : at], times)
    if rng.random() < 0.5:
        y = np.concatenate([x[:at], repeats, x[at:]])[: len(x)]
    else:
        y = x.copy()
        y[at : at + len(repeats)] = repeats[: len(x) - at]
    return y, at, at + times * block


def skip(rng: np.random.Generator, x: np.ndarray, rate_hz: int, at: int) -> Placed:
    """A jump forward in time; what is reported is the 40 ms around the seam."""
    num = int(log_uniform(rng, 0.015, 0.4) * rate_hz)
    if at + num + rate_hz // 5 > len(x) or not sounding(x, rate_hz, at, at + num, audible_floor(x)):
        return None
    y = np.concatenate([x[:at], x[at + num :], np.zeros(num, np.float32)])
    return y, at - int(0.005 * rate_hz), at + int(0.04 * rate_hz)


def rearranged(rng: np.random.Generator, x: np.ndarray, rate_hz: int, at: int) -> Placed:
    """A block reversed, or cut into shuffled pieces, or exchanged for one from elsewhere or just before."""
    num = int(log_uniform(rng, 0.02, 0.3) * rate_hz)
    if not sounding(x, rate_hz, at, at + num, audible_floor(x)):
        return None
    block = x[at : at + num]
    kind = rng.choice(["reverse", "shuffle", "pieces_reversed", "elsewhere", "stale"])
    if kind == "reverse":
        new = block[::-1]
    elif kind in {"elsewhere", "stale"}:
        back = int(rng.uniform(0.1, 0.6) * rate_hz)
        other = max(0, at - back) if kind == "stale" else int(rng.integers(0, len(x) - num))
        new = x[other : other + num]
        if rms(new) < audible_floor(x):
            return None
    else:
        pieces = np.array_split(block, max(2, int(num / rate_hz / rng.uniform(0.005, 0.04))))
        order = rng.permutation(len(pieces))
        new = np.concatenate([pieces[i][::-1] if kind == "pieces_reversed" else pieces[i] for i in order])
    y = x.copy()
    y[at : at + num] = new
    return y, at, at + num


def garbled(rng: np.random.Generator, x: np.ndarray, rate_hz: int, at: int) -> Placed:
    """A block whose 16-bit words are damaged: bits flipped, bytes swapped, shifted, or the sign lost."""
    num = int(log_uniform(rng, 0.01, 0.3) * rate_hz)
    if not sounding(x, rate_hz, at, at + num, audible_floor(x)):
        return None
    words = np.clip(x[at : at + num] * 32767, -32768, 32767).astype(np.int16)
    level = max(10, int(np.abs(words).max())).bit_length()
    kind = rng.choice(["flip", "flip", "swap", "shift", "abs", "coarse", "polarity"])
    if kind == "flip":
        chosen = rng.random(num) < log_uniform(rng, 0.02, 0.9)
        masks = (1 << rng.integers(max(0, level - 5), min(15, level + 2), num)).astype(np.int16)
        words = np.where(chosen, words ^ masks, words)
    elif kind == "swap":
        words = words.byteswap()
    elif kind == "shift":
        words = np.roll(words.view(np.uint8), 1).view(np.int16)
    elif kind == "abs":
        words = np.abs(words.astype(np.int32)).clip(0, 32767).astype(np.int16)
    elif kind == "coarse":
        step = 1 << max(1, level - int(rng.integers(1, 3)))
        words = (np.round(words / step) * step).clip(-32768, 32767).astype(np.int16)
    else:
        words = words * np.where((np.arange(num) // max(1, int(rng.integers(8, 200)))) % 2, -1, 1).astype(np.int16)
    new = words.astype(np.float32) / 32768 * (gain(-rng.uniform(0, 24)) if rng.random() < 0.3 else 1.0)
    loudest = 3 * np.abs(around(x, at, at + num, rate_hz // 4)).max()
    y = x.copy()
    y[at : at + num] = new if rng.random() < 0.5 else np.clip(new, -loudest, loudest)
    return y, at, at + num


def concealed(rng: np.random.Generator, x: np.ndarray, rate_hz: int, at: int) -> Placed:
    """Lost packets of 10 to 60 ms filled by repeating the last packet or pitch period, fading, as telephones do."""
    packet = int(rng.choice([0.01, 0.02, 0.02, 0.03]) * rate_hz)
    lost = int(rng.integers(1, 6))
    num = packet * lost
    if at < packet * 2 or not sounding(x, rate_hz, at, at + num, audible_floor(x)):
        return None
    if rng.random() < 0.5:
        period = packet
    else:
        past = x[at - int(0.03 * rate_hz) : at]
        similarity = signal.correlate(past, past, "full")[len(past) - 1 :]
        shortest = int(0.0025 * rate_hz)
        period = shortest + int(np.argmax(similarity[shortest : int(0.016 * rate_hz)]))
    fill = np.resize(x[at - period : at], num).copy()
    fill *= np.repeat(gain(-rng.uniform(0, 6)) ** np.arange(lost), packet).astype(np.float32)
    y = x.copy()
    y[at : at + num] = fill
    if rng.random() < 0.5:
        blend = min(int(0.004 * rate_hz), len(x) - at - num)
        rise = fade_in(blend)
        tail = np.resize(fill[-period:], blend)
        y[at + num : at + num + blend] = y[at + num : at + num + blend] * rise + tail * (1 - rise)
    return y, at, at + num


def noise_burst(rng: np.random.Generator, x: np.ndarray, rate_hz: int, at: int) -> Placed:
    """Static of 20 to 500 ms: white, pink, band-limited or crackle, set against the recording in the same band."""
    num = int(log_uniform(rng, 0.02, 0.5) * rate_hz)
    if at + num >= len(x):
        return None
    kind = rng.choice(["white", "pink", "band", "band", "crackle"])
    white = rng.standard_normal(num + 512)
    low, high = 20.0, 0.49 * rate_hz
    if kind == "white":
        noise = white
    elif kind == "pink":
        noise = signal.lfilter([0.049922, -0.095993, 0.050612, -0.004408], [1, -2.494956, 2.017265, -0.522189], white)
    elif kind == "band":
        low = log_uniform(rng, 100, 0.25 * rate_hz)
        high = low * rng.uniform(1.5, 6)
        noise = signal.sosfilt(bandpass(rate_hz, low, high), white)
    else:
        density = log_uniform(rng, 150, 3000) / rate_hz
        noise = np.where(rng.random(len(white)) < density, white * np.abs(white), 0)
        if rng.random() < 0.5:
            noise = signal.lfilter([1], [1, -rng.uniform(0.3, 0.9)], noise)
    noise = noise[512:] * envelope(num, int(rng.choice([0, 0.001, 0.003, 0.008]) * rate_hz))
    near = around(x, at, at + num, rate_hz // 5)
    in_band = near if kind in {"white", "crackle"} else signal.sosfilt(bandpass(rate_hz, max(low, 200), high), near)
    in_noise = noise if kind in {"white", "crackle"} else signal.sosfilt(bandpass(rate_hz, max(low, 200), high), noise)
    if rms(in_noise) <= 0:
        return None
    level = max(rms(in_band), 10 ** (-60 / 20)) * gain(rng.uniform(-2, 20)) / rms(in_noise)
    noise = noise * min(level, 0.9 / np.abs(noise).max())
    if db(rms(noise) / max(rms(near), 1e-5)) < -26 and kind == "white":
        return None
    y = x.copy()
    if rng.random() < 0.08 and kind != "crackle":
        y[at : at + num] *= 1 - envelope(num, int(0.001 * rate_hz))
    y[at : at + num] += noise.astype(np.float32)
    return y, at, at + num


GLITCHES: tuple[tuple[Fault, float], ...] = (
    (stutter, 0.2),
    (skip, 0.2),
    (rearranged, 0.2),
    (garbled, 0.22),
    (concealed, 0.18),
)


def glitch(rng: np.random.Generator, x: np.ndarray, rate_hz: int, at: int) -> Placed:
    """One of the glitches, drawn by its share."""
    shares = np.array([share for _, share in GLITCHES])
    return GLITCHES[rng.choice(len(GLITCHES), p=shares / shares.sum())][0](rng, x, rate_hz, at)


SHORT_FAULTS: dict[str, Fault] = {"click": click, "dropout": dropout, "glitch": glitch, "noise_burst": noise_burst}
