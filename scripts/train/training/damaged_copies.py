"""Copies of a recording as they come about in practice: coded, over the phone, noisy, quiet, cut, in a room."""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import numpy as np
import soxr

Damage = Callable[[np.random.Generator, np.ndarray, int], np.ndarray]


def coded(container: str, codec: str, bit_rate: int, rate_hz: int) -> Damage:
    """Return a damage that sends a recording through a coder at a rate that the coder takes."""

    def through(_: np.random.Generator, x: np.ndarray, at_hz: int) -> np.ndarray:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as out:
            stream = out.add_stream(codec, rate=rate_hz, layout="mono")
            stream.bit_rate = bit_rate
            samples = (np.clip(soxr.resample(x, at_hz, rate_hz), -1, 1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
            frame.sample_rate = rate_hz
            for part in [*av.AudioResampler(stream.codec_context.format, "mono", rate_hz).resample(frame), None]:
                out.mux(stream.encode(part))
        file.seek(0)
        with av.open(file) as read:
            to_mono = av.AudioResampler("fltp", "mono", at_hz)
            parts = [part.to_ndarray()[0] for frame in read.decode(audio=0) for part in to_mono.resample(frame)]
        return np.concatenate(parts)[: len(x)]

    return through


def phone(_: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """300 to 3400 Hz, in 255 steps of a logarithm."""
    spectrum, hz = np.fft.rfft(x), np.fft.rfftfreq(len(x), 1 / rate_hz)
    spectrum[(hz < 300) | (hz > 3400)] = 0
    y = np.clip(np.fft.irfft(spectrum, len(x)), -1, 1)
    steps = np.round(np.sign(y) * np.log1p(255 * np.abs(y)) / np.log(256) * 127) / 127
    return np.sign(steps) * (256 ** np.abs(steps) - 1) / 255


def noisy(snr_db: float, slope: float) -> Damage:
    """Return a damage that adds noise with a power of 1 / f ** slope."""

    def add(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
        hz = np.maximum(np.fft.rfftfreq(len(x), 1 / rate_hz), 20)
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(x))) / hz ** (slope / 2), len(x))
        return x + noise * np.sqrt(np.mean(x**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)

    return add


def quiet(_: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """18 dB lower."""
    return x * 10 ** (-18 / 20)


def middle(_: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """Only 60 % of it."""
    return x[len(x) // 5 : len(x) - len(x) // 5]


def room(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """In a room whose sound dies away within half a second."""
    tail = rng.standard_normal(rate_hz // 2) * np.exp(-np.arange(rate_hz // 2) / (0.08 * rate_hz)) * 0.05
    tail[0] = 1.0
    size = len(x) + len(tail)
    return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(tail, size), size)[: len(x)]


DAMAGES: dict[str, Damage] = {
    "mp3": coded("mp3", "libmp3lame", 48_000, 32_000),
    "opus": coded("ogg", "libopus", 16_000, 48_000),
    "phone": phone,
    "white": noisy(20, 0),
    "pink": noisy(10, 1),
    "quiet": quiet,
    "middle": middle,
    "room": room,
}


def damaged(name: str, rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return a damaged copy of (num_samples,) float32."""
    return DAMAGES[name](rng, x, rate_hz).astype(np.float32)
