"""Lossy coders as augmentation: a recording goes through one and comes back at the same length and place in time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import av
import numpy as np
import soundfile
import soxr
from scipy import signal

from training.levels import bandpass

Coder = Callable[[np.random.Generator, np.ndarray, int], np.ndarray]


def delay(decoded: np.ndarray, original: np.ndarray, most: int = 6000) -> int:
    """Samples by which ``decoded`` is late: its coder's delay, found by correlation up to ``most``."""
    num = min(len(original), len(decoded), 1 << 16)
    middle = max(0, (len(original) - num) // 2)
    a, b = original[middle : middle + num], decoded[middle : middle + num + most]
    correlation = signal.correlate(b, a, "full", "fft")[len(a) - 1 : len(a) - 1 + most]
    return int(np.argmax(correlation)) if len(correlation) else 0


def aligned(decoded: np.ndarray, original: np.ndarray) -> np.ndarray:
    """``decoded`` shifted by its coder's delay and fitted to the original's length."""
    return fitted(decoded[delay(decoded, original) :], len(original))


def fitted(x: np.ndarray, num_samples: int) -> np.ndarray:
    """x cut or zero-padded to (num_samples,) float32."""
    out = np.zeros(num_samples, np.float32)
    out[: min(num_samples, len(x))] = x[:num_samples]
    return out


def encode(
    x: np.ndarray, rate_hz: int, codec: str, bit_rate: int, options: dict[str, str] | None = None
) -> list[bytes]:
    """Encode x (samples,) to a list of bare packets."""
    return encode_with_header(x, rate_hz, codec, bit_rate, options)[0]


def encode_with_header(
    x: np.ndarray, rate_hz: int, codec: str, bit_rate: int, options: dict[str, str] | None = None
) -> tuple[list[bytes], bytes | None]:
    """Encode x (samples,) to a list of bare packets. Returns these and the header that the decoder needs, if any."""
    context = av.CodecContext.create(codec, "w")
    context.sample_rate = rate_hz
    context.layout = "mono"
    formats = [f.name for f in av.codec.Codec(codec, "w").audio_formats]
    context.format = next(f for f in ("s16", "s16p", "flt", "fltp") if f in formats)
    context.bit_rate = bit_rate
    context.options = options or {}
    context.open()
    size = context.frame_size or 1024
    packets: list[bytes] = []
    padded = np.concatenate([x, np.zeros(-len(x) % size + size, np.float32)])
    as_int = context.format.name.startswith("s16")
    samples = (np.clip(padded, -1, 1) * 32767).astype(np.int16) if as_int else padded.astype(np.float32)
    for index in range(0, len(samples), size):
        frame = av.AudioFrame.from_ndarray(samples[None, index : index + size], context.format.name, "mono")
        frame.sample_rate = rate_hz
        frame.pts = index
        packets.extend(bytes(packet) for packet in context.encode(frame))
    packets.extend(bytes(packet) for packet in context.encode(None))
    return packets, context.extradata


def decode(packets: Iterable[bytes], rate_hz: int, codec: str, header: bytes | None = None) -> np.ndarray:
    """Decode bare packets to (samples,) float32. Packets that the decoder refuses are skipped."""
    context = av.CodecContext.create(codec, "r")
    context.sample_rate = rate_hz
    context.layout = "mono"
    if header:
        context.extradata = header
    parts = []
    for data in packets:
        try:
            for frame in context.decode(av.Packet(data)):
                block = frame.to_ndarray()
                block = (
                    block.mean(axis=0)
                    if frame.format.is_planar
                    else block.reshape(-1, len(frame.layout.channels)).mean(axis=1)
                )
                parts.append(block / 32768 if frame.format.name.startswith("s16") else block)
        except av.error.FFmpegError:
            continue
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)


def resampled(x: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    return x if from_hz == to_hz else soxr.resample(x, from_hz, to_hz, quality="HQ").astype(np.float32)


def mp3(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """MP3 at 24 to 160 kbit/s for one channel."""
    bit_rate = int(rng.choice([24, 32, 48, 64, 96, 160])) * 1000
    inner_hz = 8000 if rate_hz == 8000 else (16000 if bit_rate <= 24000 else (22050 if bit_rate <= 32000 else 44100))
    y = resampled(x, rate_hz, inner_hz)
    out = aligned(decode(encode(y, inner_hz, "libmp3lame", bit_rate), inner_hz, "mp3float"), y)
    return fitted(resampled(out, inner_hz, rate_hz), len(x))


def opus(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """Opus at 8 to 96 kbit/s, for voice or for music."""
    y = resampled(x, rate_hz, 48000)
    options = {"application": str(rng.choice(["voip", "audio"])), "compression_level": "3"}
    packets = encode(y, 48000, "libopus", int(rng.choice([8, 12, 16, 24, 32, 64, 96])) * 1000, options)
    return fitted(resampled(aligned(decode(packets, 48000, "libopus"), y), 48000, rate_hz), len(x))


def aac(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """AAC-LC at 24 to 128 kbit/s."""
    inner_hz = 16000 if rate_hz <= 16000 else 44100
    y = resampled(x, rate_hz, inner_hz)
    packets, header = encode_with_header(y, inner_hz, "aac", int(rng.choice([24, 32, 48, 64, 128])) * 1000)
    return fitted(resampled(aligned(decode(packets, inner_hz, "aac", header), y), inner_hz, rate_hz), len(x))


def vorbis_file(x: np.ndarray, rate_hz: int, quality: float) -> bytes:
    """x (samples,) as an Ogg Vorbis file; quality in [0, 1], 1 the smallest file."""
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", rate_hz, 1, format="OGG", subtype="VORBIS", compression_level=quality) as file:
        for index in range(0, len(x), 65536):
            file.write(x[index : index + 65536])
    return out.getvalue()


def vorbis(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """Ogg Vorbis at any of its qualities."""
    data = vorbis_file(x, rate_hz, float(rng.uniform(0, 1)))
    return fitted(soundfile.read(io.BytesIO(data), dtype="float32")[0], len(x))


def companded(x: np.ndarray, a_law: bool) -> np.ndarray:
    """x (samples,) through G.711's eight bits, mu-law or A-law, by their continuous laws."""
    x = np.clip(x, -1, 1)
    if a_law:
        a, k = 87.6, 1 + np.log(87.6)
        y = np.sign(x) * np.where(np.abs(x) < 1 / a, a * np.abs(x) / k, (1 + np.log(np.maximum(a * np.abs(x), 1))) / k)
        y = np.round(y * 127) / 127
        return (np.sign(y) * np.where(np.abs(y) < 1 / k, np.abs(y) * k / a, np.exp(np.abs(y) * k - 1) / a)).astype(
            np.float32
        )
    y = np.round(np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256) * 127) / 127
    return (np.sign(y) * np.expm1(np.abs(y) * np.log(256)) / 255).astype(np.float32)


def telephone(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """A telephone line: 300 to 3400 Hz, 8 kHz, G.711 or GSM."""
    y = resampled(x, rate_hz, 8000)
    if rng.random() < 0.7:
        y = signal.sosfilt(bandpass(8000, 250, 3400), y).astype(np.float32)
    if rng.random() < 0.2:
        out = io.BytesIO()
        soundfile.write(out, y, 8000, format="WAV", subtype="GSM610")
        y = fitted(soundfile.read(io.BytesIO(out.getvalue()), dtype="float32")[0], len(y))
    else:
        y = companded(y, bool(rng.random() < 0.5))
    return fitted(resampled(y, 8000, rate_hz), len(x))


CODERS: tuple[tuple[Coder, float], ...] = ((mp3, 0.28), (opus, 0.26), (vorbis, 0.22), (aac, 0.14), (telephone, 0.1))


def coded(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> np.ndarray:
    """x (samples,) through one coder, drawn by its share."""
    shares = np.array([share for _, share in CODERS])
    return CODERS[rng.choice(len(CODERS), p=shares / shares.sum())][0](rng, x, rate_hz)
