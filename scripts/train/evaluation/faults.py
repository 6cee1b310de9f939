"""The evaluation's own injector: it computes faults of the six labels from their definitions.

Every injector takes ``audio`` : (num_samples, num_channels) float32, its rate, the position ``start`` in samples and a
random generator. It returns the damaged audio with the ``Event`` that a listener would report. An injector may change
the length (a skip does), so faults are put in from left to right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy import signal

from evaluation.labels import Event


class UnsuitableError(Exception):
    """The place does not suit the fault (nothing would be overloaded or audible). Try another place."""


Injected = tuple[np.ndarray, Event]
Injector = Callable[[np.ndarray, int, int, np.random.Generator], Injected]


def decibels(value_db: float) -> float:
    return 10.0 ** (value_db / 20.0)


def local_rms(audio: np.ndarray, rate_hz: int, centre: int, seconds: float = 0.4) -> float:
    half = int(seconds * rate_hz / 2)
    part = audio[max(0, centre - half) : centre + half]
    return float(np.sqrt(np.mean(np.square(part, dtype=np.float64)) + 1e-12))


def _event(label: str, mechanism: str, start: int, end: int, rate_hz: int) -> Event:
    return Event(label, mechanism, start / rate_hz, max(end, start + 1) / rate_hz)


def _channels(audio: np.ndarray, rng: np.random.Generator, one_channel_share: float) -> slice:
    if audio.shape[1] == 2 and rng.random() < one_channel_share:
        side = int(rng.integers(2))
        return slice(side, side + 1)
    return slice(None)


# ---- click: one sample to a few milliseconds


def click(audio: np.ndarray, rate_hz: int, start: int, rng: np.random.Generator) -> Injected:
    kind = str(rng.choice(["impulse", "decaying_pop", "scratch", "step"]))
    shape = _click_shape(kind, rate_hz, rng)
    nearby = audio[max(0, start - rate_hz // 5) : start + rate_hz // 5]
    height = max(float(np.max(np.abs(nearby))), 0.01) * rng.uniform(0.35, 1.8)
    out = audio.copy()
    shape = shape[: len(out) - start]
    out[start : start + len(shape), _channels(audio, rng, 0.15)] += (height * shape[:, None]).astype(np.float32)
    return out, _event("click", f"click_{kind}", start, start + len(shape), rate_hz)


def _click_shape(kind: str, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """(num_samples,) with peak 1."""
    sign = rng.choice([-1.0, 1.0])
    if kind == "impulse":
        return sign * np.ones(int(rng.integers(1, 4)))
    seconds = rng.uniform(0.0008, 0.004)
    time = np.arange(max(3, int(seconds * rate_hz))) / rate_hz
    if kind == "step":  # the signal jumps by a constant and creeps back, as when a buffer edge does not match
        return sign * np.exp(-time / (seconds / 4))
    if kind == "scratch":  # a few irregular spikes, as dirt in a groove
        spikes = rng.standard_normal(len(time)) * np.hanning(len(time) + 2)[1:-1]
        return spikes / np.max(np.abs(spikes))
    ring = np.exp(-time / (seconds / 3)) * np.cos(2 * np.pi * rng.uniform(400, 0.3 * rate_hz) * time)
    return sign * ring


# ---- dropout: sound that goes on before and after, and is gone between


def dropout(audio: np.ndarray, rate_hz: int, start: int, rng: np.random.Generator) -> Injected:
    kind = str(rng.choice(["hard_mute", "soft_edge_mute", "near_silence"]))
    length = int(decibels(rng.uniform(20 * np.log10(0.02), 20 * np.log10(0.4))) * rate_hz)
    end = min(start + length, len(audio) - 1)
    out = audio.copy()
    gain = np.zeros(end - start, dtype=np.float32)
    if kind == "soft_edge_mute":
        edge = max(2, int(0.001 * rate_hz))
        gain[:edge] = np.linspace(1, 0, edge)
        gain[-edge:] = np.linspace(0, 1, edge)
    out[start:end] *= gain[:, None]
    if kind == "near_silence":
        floor = local_rms(audio, rate_hz, start) * decibels(rng.uniform(-60, -45))
        out[start:end] += (floor * rng.standard_normal((end - start, audio.shape[1]))).astype(np.float32)
    return out, _event("dropout", f"dropout_{kind}", start, end, rate_hz)


# ---- glitch: the stream is there, but it is not the right stream


GLITCHES = ("stutter", "stale_buffer", "skip", "reversed", "shuffled", "bit_garbled", "byte_shifted")


def glitch(
    audio: np.ndarray, rate_hz: int, start: int, rng: np.random.Generator, kinds: Sequence[str] = GLITCHES
) -> Injected:
    kind = str(rng.choice(kinds))
    if kind == "skip":
        return _skip(audio, rate_hz, start, rng)
    if kind == "stutter":
        block, repeats = int(rng.uniform(0.01, 0.06) * rate_hz), int(rng.integers(2, 6))
        end = start + min(block * repeats, int(0.3 * rate_hz))
        new = np.resize(audio[start - block : start], (end - start, audio.shape[1]))
    else:
        end = start + int(rng.uniform(0.02, 0.25) * rate_hz)
        new = _replaced_block(kind, audio, rate_hz, start, end, rng)
    out = audio.copy()
    out[start:end] = new[: len(out[start:end])]
    return out, _event("glitch", f"glitch_{kind}", start, end, rate_hz)


def _replaced_block(
    kind: str, audio: np.ndarray, rate_hz: int, start: int, end: int, rng: np.random.Generator
) -> np.ndarray:
    block = audio[start:end]
    if end - start > start:
        raise UnsuitableError  # there is not as much before
    if kind == "stale_buffer":  # what a ring buffer held before
        back = int(rng.uniform(end - start, min(2.0 * rate_hz, start)))
        return audio[start - back : end - back]
    if kind == "reversed":
        return block[::-1]
    if kind == "shuffled":
        size = max(8, int(rng.uniform(0.004, 0.02) * rate_hz))
        parts = [block[i : i + size] for i in range(0, len(block), size)]
        return np.concatenate([parts[i] for i in rng.permutation(len(parts))])
    words = np.round(np.clip(block, -1, 1) * 32767).astype("<i2")
    if kind == "byte_shifted":  # half a word is missing: every high byte is read as a low one
        raw = words.tobytes()
        return np.frombuffer(raw[1:] + raw[:1], "<i2").reshape(block.shape) * np.float32(decibels(-18) / 32768)
    hit = rng.random(words.shape) < rng.uniform(0.03, 0.3)
    flipped = words ^ (np.int16(1) << rng.integers(9, 14, words.shape).astype(np.int16))
    return np.where(hit, flipped, words).astype(np.float32) / 32768


def _skip(audio: np.ndarray, rate_hz: int, start: int, rng: np.random.Generator) -> Injected:
    """Remove a stretch of time. The damage is the join."""
    missing = int(rng.uniform(0.02, 0.3) * rate_hz)
    out = np.concatenate([audio[:start], audio[start + missing :]])
    return out, _event("glitch", "glitch_skip", start, start + int(0.01 * rate_hz), rate_hz)


# ---- clipping: overload, whatever the level is afterwards


def clipping(
    audio: np.ndarray, rate_hz: int, start: int, rng: np.random.Generator, is_turned_up: bool | None = None
) -> Injected:
    """``is_turned_up`` : whether the overloaded part is as loud as before or louder; None leaves it to chance."""
    kind = str(rng.choice(["hard", "soft", "asymmetric"]))
    end = min(len(audio), start + int(decibels(rng.uniform(20 * np.log10(0.3), 20 * np.log10(3.5))) * rate_hz))
    part = audio[start:end].astype(np.float64)
    wanted_db = rng.uniform(6, 20)
    if not part.any():
        raise UnsuitableError
    low, high = 1e-4, float(np.max(np.abs(part))) + 1e-9
    for _ in range(24):  # the distortion falls as the ceiling rises
        ceiling = np.sqrt(low * high)
        error = part - _overload(kind, part, ceiling)
        distortion_db = 10 * np.log10(np.sum(part**2) / (np.sum(error**2) + 1e-20))
        low, high = (ceiling, high) if distortion_db < wanted_db else (low, ceiling)
    over = np.flatnonzero(np.max(np.abs(part) * (part > 0 if kind == "asymmetric" else 1), axis=1) > ceiling)
    if len(over) < 20 or np.max(np.diff(over)) > 0.4 * rate_hz or over[-1] - over[0] < 0.2 * rate_hz:
        raise UnsuitableError  # a few peaks, or two overloads with a pause between them
    damaged = _overload(kind, part, ceiling)
    if is_turned_up is None:
        is_turned_up = rng.random() < 0.5
    makeup = min(0.98 / ceiling, decibels(rng.uniform(0, 12))) if is_turned_up else 1.0
    out = audio.copy()
    if not is_turned_up:
        out[start:end] = damaged
    else:  # the whole recording was turned up, and only this part was too loud for it
        quiet = float(np.max(np.abs(audio))) * makeup
        out = (audio * np.float32(makeup / max(1.0, quiet / 0.98))).astype(np.float32)
        out[start:end] = damaged * (makeup / max(1.0, quiet / 0.98))
    first, last = start + int(over[0]), start + int(over[-1]) + 1
    mechanism = f"clipping_{kind}" if is_turned_up else f"clipping_{kind}_same_level"
    return out, _event("clipping", mechanism, first, last, rate_hz)


def _overload(kind: str, part: np.ndarray, ceiling: float) -> np.ndarray:
    if kind == "soft":  # straight up to half the ceiling, then rounded towards it
        knee = 0.5 * ceiling
        over = np.maximum(np.abs(part) - knee, 0)
        return np.sign(part) * (np.minimum(np.abs(part), knee) + knee * np.tanh(over / knee))
    if kind == "asymmetric":
        return np.minimum(part, ceiling)
    return np.clip(part, -ceiling, ceiling)


# ---- hum: mains and its harmonics


HUMS: dict[str, Callable[[int], float]] = {  # the strength of each harmonic
    "plain": lambda harmonic: 1.0 / harmonic**2,
    "rectified": lambda harmonic: (1.0 if harmonic % 2 == 0 else 0.15) / harmonic,
    "even": lambda harmonic: (harmonic % 2 == 0) / harmonic,
    "odd": lambda harmonic: (harmonic % 2) / harmonic,
    "buzz": lambda harmonic: 1.0 / harmonic**0.7,
}


def hum(
    audio: np.ndarray,
    rate_hz: int,
    start: int,
    rng: np.random.Generator,
    kinds: Sequence[str] = tuple(HUMS),
    drift: float = 0.0,
    is_faint: bool = False,
) -> Injected:
    """``drift`` : by which share the mains slowly leave their frequency; ``is_faint`` : under the bass around it."""
    kind = str(rng.choice(kinds))
    mains_hz = float(rng.choice([50.0, 60.0])) * (1 + rng.uniform(-0.002, 0.002))
    end = min(len(audio), start + int(rng.uniform(1.2, 6.0) * rate_hz))
    time = np.arange(end - start) / rate_hz
    wander = drift * np.sin(2 * np.pi * rng.uniform(0.1, 0.5) * time + rng.uniform(0, 2 * np.pi)) if drift else 0.0
    turns = np.cumsum(mains_hz * (1 + wander) * np.ones(len(time))) / rate_hz
    tone = np.zeros(len(time))
    for harmonic in range(1, 25):
        if harmonic * mains_hz > 0.45 * rate_hz:
            break
        strength = HUMS[kind](harmonic) * decibels(rng.uniform(-6, 6))
        tone += strength * np.cos(2 * np.pi * (harmonic * turns + rng.random()))
    edge = min(len(time) // 4, int(rng.uniform(0.005, 0.08) * rate_hz))
    tone *= signal.windows.tukey(len(tone), 2 * edge / len(tone))
    bass = signal.sosfilt(signal.butter(4, 500, fs=rate_hz, output="sos"), audio[start:end], axis=0)
    loudness_db = rng.uniform(-18, -8) if is_faint else rng.uniform(-12, 6)  # audible among its neighbors
    tone *= float(np.sqrt(np.mean(bass**2)) + 1e-5) * decibels(loudness_db) / np.sqrt(np.mean(tone**2))
    out = audio.copy()
    out[start:end] += tone[:, None].astype(np.float32)
    mechanism = f"hum_{kind}" + "_drifting" * bool(drift) + "_faint" * is_faint
    return out, _event("hum", mechanism, start, end, rate_hz)


# ---- noise burst: short static


def noise_burst(
    audio: np.ndarray,
    rate_hz: int,
    start: int,
    rng: np.random.Generator,
    kinds: Sequence[str] = ("white", "pink", "band", "crackle"),
) -> Injected:
    kind = str(rng.choice(kinds))
    length = int(decibels(rng.uniform(20 * np.log10(0.02), 20 * np.log10(0.5))) * rate_hz)
    end = min(start + length, len(audio) - 1)
    noise = _static(kind, end - start, rate_hz, rng)
    edge = max(1, int(0.001 * rate_hz))
    noise[:edge] *= np.linspace(0, 1, edge)
    noise[-edge:] *= np.linspace(1, 0, edge)
    loudness_db = rng.uniform(-4, 8) if kind == "pink" else rng.uniform(-10, 6)
    noise *= local_rms(audio, rate_hz, (start + end) // 2) * decibels(loudness_db)
    out = audio.copy()
    out[start:end, _channels(audio, rng, 0.1)] += noise[:, None].astype(np.float32)
    return out, _event("noise_burst", f"noise_burst_{kind}", start, end, rate_hz)


def _static(kind: str, length: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """(length,) of noise with RMS 1."""
    noise = rng.standard_normal(length + 4096)
    if kind == "pink":
        spectrum = np.fft.rfft(noise)
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 20))
        noise = np.fft.irfft(spectrum, len(noise))
    elif kind in ("band", "narrow_band"):
        low_hz = rng.uniform(300, 0.2 * rate_hz)
        high_hz = min(0.48 * rate_hz, low_hz * (rng.uniform(1.5, 4) if kind == "band" else rng.uniform(1.2, 1.6)))
        noise = signal.sosfilt(signal.butter(4, [low_hz, high_hz], "band", fs=rate_hz, output="sos"), noise)
    elif kind == "crackle":  # many small impulses, too dense to be counted as clicks
        noise = noise * (rng.random(len(noise)) < rng.uniform(400, 1500) / rate_hz)
    noise = noise[4096:]
    return noise / (np.sqrt(np.mean(noise**2)) + 1e-9)


INJECTORS: dict[str, Injector] = {
    "click": click,
    "dropout": dropout,
    "glitch": glitch,
    "clipping": clipping,
    "hum": hum,
    "noise_burst": noise_burst,
}

# What others' recordings showed to be weak: the label that each makes, and how.
FOCUSED: dict[str, tuple[str, Injector]] = {
    "clipping_same_level": ("clipping", partial(clipping, is_turned_up=False)),
    "band_static": ("noise_burst", partial(noise_burst, kinds=("band", "narrow_band"))),
    "hum_even": ("hum", partial(hum, kinds=("even",))),
    "hum_odd": ("hum", partial(hum, kinds=("odd",))),
    "hum_buzz": ("hum", partial(hum, kinds=("buzz",))),
    "hum_drifting": ("hum", partial(hum, drift=0.008)),
    "hum_under_music": ("hum", partial(hum, is_faint=True)),
    "skip": ("glitch", partial(glitch, kinds=("skip",))),
    "backwards": ("glitch", partial(glitch, kinds=("reversed",))),
    "earlier": ("glitch", partial(glitch, kinds=("stale_buffer",))),
}
