"""Clean recordings that look faulty but are not. Each takes and returns (num_samples, num_channels) float32."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import signal

from evaluation.faults import decibels
from evaluation.placing import rms
from evaluation.sources import KEYSTROKE_PACKAGE, recordings, resampled


def gated_pauses(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Room noise under speech, and a noise gate that shuts in the pauses, as telephones and editors do."""
    noisy = audio + (rms(audio) * decibels(rng.uniform(-45, -32)) * rng.standard_normal(audio.shape)).astype(np.float32)
    size = rate_hz // 100
    level = np.sqrt(np.convolve(np.mean(audio**2, axis=1), np.ones(size) / size, "same"))
    wanted = (level > 0.08 * rms(audio)).astype(float)
    held = np.convolve(wanted, np.ones(int(rng.uniform(0.08, 0.25) * rate_hz)), "full")[: len(wanted)] > 0
    edge = max(2, int(rng.uniform(0.002, 0.02) * rate_hz))
    gain = np.convolve(held.astype(np.float32), np.ones(edge, dtype=np.float32) / edge, "same")
    return (noisy * gain[:, None]).astype(np.float32)


def fades(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Fades out, a pause, and in again; the ends of the recording too."""
    gain = np.ones(len(audio), dtype=np.float32)
    position = rng.uniform(3, 8)
    while position < len(audio) / rate_hz - 6:
        out_seconds, pause_seconds, in_seconds = rng.uniform(0.2, 2), rng.uniform(0.05, 1.5), rng.uniform(0.05, 1.5)
        points = np.cumsum([position, out_seconds, pause_seconds, in_seconds])
        time = np.arange(int(points[0] * rate_hz), int(points[3] * rate_hz)) / rate_hz
        gain[int(points[0] * rate_hz) : int(points[3] * rate_hz)] = np.interp(time, points, [1, 0, 0, 1]) ** 2
        position = points[3] + rng.uniform(4, 12)
    ramp = np.linspace(0, 1, int(rng.uniform(0.1, 2) * rate_hz), dtype=np.float32)
    gain[: len(ramp)] *= ramp
    gain[-len(ramp) :] *= ramp[::-1]
    return audio * gain[:, None]


@lru_cache(maxsize=1)
def _keystrokes() -> list[tuple[np.ndarray, int]]:
    """A few recorded keystrokes, (num_samples, 1) and rate each."""
    return [recording.read() for recording in recordings(KEYSTROKE_PACKAGE)[::8]]


def keystrokes(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Someone types in the room."""
    return _with_knocks(audio, rate_hz, rng, slower=1.0, apart_seconds=(0.12, 1.2), loudness_db=(-14, 2))


def door_slams(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A keystroke played six times slower is a heavy knock with its room."""
    return _with_knocks(audio, rate_hz, rng, slower=6.0, apart_seconds=(2.0, 7.0), loudness_db=(0, 10))


def _with_knocks(
    audio: np.ndarray,
    rate_hz: int,
    rng: np.random.Generator,
    slower: float,
    apart_seconds: tuple[float, float],
    loudness_db: tuple[float, float],
) -> np.ndarray:
    out = audio.copy()
    loudness = rms(audio) * decibels(rng.uniform(*loudness_db))
    position = rng.uniform(*apart_seconds)
    while position < len(audio) / rate_hz - 1:
        knock, knock_hz = _keystrokes()[int(rng.integers(len(_keystrokes())))]
        knock = resampled(knock, knock_hz, int(rate_hz * slower))[: int(1.0 * rate_hz)]
        fade = np.minimum(1, np.arange(len(knock))[::-1] / (0.02 * rate_hz))[:, None]
        first = int(position * rate_hz)
        loudest = np.sqrt(np.max(np.convolve(knock[:, 0] ** 2, np.ones(rate_hz // 50) / (rate_hz // 50), "same")))
        out[first : first + len(knock)] += (knock * fade * (loudness / (loudest + 1e-6))).astype(np.float32)
        position += rng.uniform(*apart_seconds)
    return out


def bass_drone(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """The recording's own bass, two octaves down and long: notes near mains frequencies that are not hum."""
    slow = resampled(audio[: len(audio) // 4 + 1], rate_hz, rate_hz * 4)[: len(audio)]
    low = signal.sosfilt(signal.butter(4, [28, 220], "band", fs=rate_hz, output="sos"), slow, axis=0)
    out = audio.copy()
    out[: len(low)] += (low * (rms(audio) * decibels(rng.uniform(-8, 4)) / (rms(low) + 1e-6))).astype(np.float32)
    return out


def robot_voice(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A voice as robots have it in games: its loudness beats at the pitch of a tone, or it rings in a short pipe."""
    if rng.random() < 0.5:
        time = np.arange(len(audio)) / rate_hz
        return (audio * np.cos(2 * np.pi * rng.uniform(25, 180) * time)[:, None] * np.sqrt(2)).astype(np.float32)
    delay = int(rng.uniform(0.003, 0.014) * rate_hz)
    poles = np.zeros(delay + 1)
    poles[0], poles[-1] = 1.0, -rng.uniform(0.6, 0.85)
    ringing = signal.lfilter([1.0], poles, audio, axis=0)
    return (ringing * (rms(audio) / (rms(ringing) + 1e-6))).astype(np.float32)


def radio_voice(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A voice on a radio, not overloaded: a narrow band, every syllable equally loud, and steady hiss."""
    band = [rng.uniform(200, 500), min(0.45 * rate_hz, rng.uniform(2200, 3600))]
    narrow = signal.sosfilt(signal.butter(4, band, "band", fs=rate_hz, output="sos"), audio, axis=0)
    size = rate_hz // 50
    level = np.sqrt(np.convolve(np.mean(narrow**2, axis=1), np.ones(size) / size, "same"))
    narrow *= ((level + 0.1 * rms(audio)) ** -rng.uniform(0.5, 0.85))[:, None]
    hiss = rng.standard_normal(narrow.shape) * rms(narrow) * decibels(rng.uniform(-40, -24))
    out = narrow + hiss
    return (out * (rms(audio) / (rms(out) + 1e-6))).astype(np.float32)


def roar(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """The sounds two to four times slower and rough, as the voices of monsters are made."""
    factor = rng.uniform(2, 4)
    slow = resampled(audio[: int(len(audio) / factor) + 1], rate_hz, int(rate_hz * factor))[: len(audio)]
    time = np.arange(len(slow)) / rate_hz
    rough = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(15, 45) * time + 2 * np.sin(2 * np.pi * 3 * time))
    return (slow * rough[:, None]).astype(np.float32)


def machine(audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """The loudest stretch of each few seconds, over and over, as a machine runs: it repeats, and it is meant to."""
    out, position = np.zeros_like(audio), 0
    while position < len(audio):
        length = min(int(rng.uniform(3, 8) * rate_hz), len(audio) - position)
        period = int(rng.uniform(0.12, 0.6) * rate_hz)
        section = audio[position : position + length]
        power = np.convolve(np.mean(section**2, axis=1), np.ones(min(period, length)), "valid")
        first = int(np.argmax(power))
        turn = section[first : first + period] * signal.windows.tukey(min(period, length - first), 0.3)[:, None]
        swell = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / (0.1 * rate_hz))
        out[position : position + length] = np.resize(turn, section.shape) * swell[:, None]
        position += length
    return out


LOOKALIKES = {
    kind.__name__: kind
    for kind in (
        fades, door_slams, bass_drone, gated_pauses, keystrokes, robot_voice, radio_voice, roar, machine,
    )
}  # fmt: skip
