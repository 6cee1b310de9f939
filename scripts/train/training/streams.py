"""Real stream damage: packets lost from coded streams, bytes overwritten, losses concealed by the decoder itself."""

from __future__ import annotations

import ctypes
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
import soundfile

from training import codecs
from training.levels import audible_floor, rms, sounding

Spans = list[tuple[str, int, int]]  # (label, start sample, end sample) of each fault

OPUS_RATE_HZ = 48_000


def decode_each(packets: list[bytes], rate_hz: int, codec: str, extradata: bytes | None = None) -> list[np.ndarray]:
    """Decode packet by packet. Returns each packet's (samples,) float32, empty if the decoder returned nothing."""
    context = av.CodecContext.create(codec, "r")
    context.sample_rate = rate_hz
    context.layout = "mono"
    if extradata:
        context.extradata = extradata
    parts = []
    for data in packets:
        try:
            frames = context.decode(av.Packet(data)) if data else []
            scale = {True: 1 / 32768, False: 1.0}
            blocks = [f.to_ndarray().reshape(-1) * scale[f.format.name.startswith("s16")] for f in frames]
        except av.error.FFmpegError:
            blocks = []
        parts.append(np.concatenate(blocks).astype(np.float32) if blocks else np.zeros(0, np.float32))
    return parts


@cache
def libopus() -> ctypes.CDLL:
    """Return the Opus library that comes with PyAV. Its decoder accepts a lost packet; FFmpeg's does not."""
    folder = Path(av.__file__).resolve().parents[1] / "av.libs"
    library = ctypes.CDLL(str(next(folder.glob("libopus-*.so*"))))
    library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_decode_float.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_int,
    ]
    library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
    return library


def decode_opus_with_losses(packets: Sequence[bytes | None], size: int) -> list[np.ndarray]:
    """Decode Opus packets of ``size`` samples, concealing those that are None. Returns (size,) float32 for each."""
    library = libopus()
    error = ctypes.c_int()
    decoder = library.opus_decoder_create(OPUS_RATE_HZ, 1, ctypes.byref(error))
    out = np.zeros(size, np.float32)
    parts = []
    for data in packets:
        got = library.opus_decode_float(decoder, data, len(data or b""), out.ctypes.data, size, 0)
        parts.append(out[: max(0, got)].copy())
    library.opus_decoder_destroy(decoder)
    return parts


def _vorbis_packets(x: np.ndarray, rate_hz: int, quality: float) -> tuple[list[bytes], bytes]:
    with av.open(io.BytesIO(codecs.vorbis_file(x, rate_hz, quality))) as container:
        stream = container.streams.audio[0]
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
        return packets, stream.codec_context.extradata


def _overwritten(rng: np.random.Generator, data: bytes) -> bytes:
    """An MP3 frame with a stretch of its bytes overwritten, its header spared or not."""
    body = bytearray(data)
    first = min(len(body) - 1, int(rng.choice([0, 4, 21, 36])))
    at = int(rng.integers(first, len(body)))
    num = min(len(body) - at, int(rng.integers(4, 400)))
    body[at : at + num] = rng.integers(0, 256, num, dtype=np.uint8).tobytes()
    return bytes(body)


@dataclass(frozen=True)
class Coded:
    """A recording as a coder's packets, the rate that they decode to, and the decoder.

    The decoder takes the packets with None in place of each lost one, and returns (samples,) float32.
    """

    packets: list[bytes]
    rate_hz: int
    decode: Callable[[list[bytes | None]], np.ndarray]


def _opus(rng: np.random.Generator, x: np.ndarray, rate_hz: int, is_told: bool) -> Coded:
    frame_ms = int(rng.choice([10, 20, 20, 20, 40]))
    options = {"application": str(rng.choice(["voip", "audio"])), "compression_level": "3"}
    options["frame_duration"] = str(frame_ms)
    bit_rate = int(rng.choice([12, 16, 24, 32, 64, 96])) * 1000
    packets = codecs.encode(codecs.resampled(x, rate_hz, OPUS_RATE_HZ), OPUS_RATE_HZ, "libopus", bit_rate, options)

    def decode(received: list[bytes | None]) -> np.ndarray:
        stream = received if is_told else [data for data in received if data is not None]
        return np.concatenate(decode_opus_with_losses(stream, 48 * frame_ms))

    return Coded(packets, OPUS_RATE_HZ, decode)


def _mp3(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> Coded:
    inner_hz = rate_hz if rate_hz in {8000, 16000, 22050, 32000, 44100, 48000} else 44100
    y = codecs.resampled(x, rate_hz, inner_hz)
    packets = codecs.encode(y, inner_hz, "libmp3lame", int(rng.choice([32, 48, 64, 96, 128])) * 1000)
    by_mpg123 = rng.random() < 0.6

    def decode(received: list[bytes | None]) -> np.ndarray:
        left = [data for data in received if data is not None]
        if by_mpg123:
            return soundfile.read(io.BytesIO(b"".join(left)), dtype="float32")[0]
        parts = decode_each(left, inner_hz, "mp3float")
        most = max(len(part) for part in parts)
        return np.concatenate([part if len(part) else np.zeros(most, np.float32) for part in parts])

    return Coded(packets, inner_hz, decode)


def _vorbis(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> Coded:
    packets, extradata = _vorbis_packets(x, rate_hz, float(rng.uniform(0, 1)))

    def decode(received: list[bytes | None]) -> np.ndarray:
        left = [data for data in received if data is not None]
        return np.concatenate(decode_each(left, rate_hz, "vorbis", extradata))

    return Coded(packets, rate_hz, decode)


def _levels(x: np.ndarray, size: int) -> np.ndarray:
    """Root mean square of each whole block of ``size`` samples: (len(x) // size,)."""
    blocks = x[: len(x) // size * size].reshape(-1, size)
    return np.sqrt(np.mean(np.square(blocks, dtype=np.float64), axis=1))


def _parted(before: np.ndarray, after: np.ndarray, rate_hz: int) -> int:
    """Return how many samples are alike: to the first 5 ms whose difference is within 18 dB of the sound."""
    size, num = rate_hz // 200, min(len(before), len(after))
    sound, error = _levels(before[:num], size), _levels(before[:num] - after[:num], size)
    apart = np.flatnonzero(error > np.maximum(0.12 * sound, 0.03 * rms(before) + 1e-5))
    return int(apart[0]) * size if len(apart) else num


def _heard(before: np.ndarray, after: np.ndarray, rate_hz: int) -> tuple[str, int, int] | None:
    """Return the fault that a loss made of ``before``, both (samples,): a dropout if sound fell silent, else a glitch.

    It lasts from the sample at which the two begin to differ to the one from which they are alike again, up to their
    ends. Returns None if the fault is inaudible, too long, or half a dropout and half a glitch.
    """
    size = rate_hz // 200
    start = _parted(before, after, rate_hz)
    end = max(len(after) - _parted(before[::-1], after[::-1], rate_hz), start + 2 * size)
    longest = int(0.6 * rate_hz)
    if end - start > longest or not sounding(before, rate_hz, start, end, audible_floor(before)):
        return None
    was, now = before[start:end], after[start:end]
    quiet = _levels(now, size) < 0.025 * rms(was)
    edges = np.flatnonzero(np.diff(np.pad(quiet.astype(np.int8), 1)))
    first, last = max(zip(edges[::2], edges[1::2], strict=True), key=lambda run: run[1] - run[0], default=(0, 0))
    if last - first >= 4:
        return ("dropout", start + first * size, start + last * size) if 2 * (last - first) > len(quiet) else None
    if len(before) == len(after) and rms(now - was) < 0.35 * rms(was):
        return None
    return "glitch", start, end


def damaged_stream(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> tuple[np.ndarray, Spans]:
    """Code x (samples,), damage the stream in one or two places and decode it. Returns (samples,) and the faults.

    One place after the other is damaged, and the result compared with the one before.
    """
    kind = str(rng.choice(["opus_drop", "opus_conceal", "mp3_drop", "mp3_bytes", "vorbis_drop"]))
    if kind.startswith("opus"):
        coded = _opus(rng, x, rate_hz, kind == "opus_conceal")
    else:
        coded = (_mp3 if kind.startswith("mp3") else _vorbis)(rng, x, rate_hz)
    packets: list[bytes | None] = list(coded.packets)
    clean = coded.decode(packets)
    delay = codecs.delay(clean, codecs.resampled(x, rate_hz, coded.rate_hz))
    seconds_each = len(x) / rate_hz / len(packets)
    spans: Spans = []
    for first in np.sort(rng.uniform(0.1, 0.9, int(rng.integers(2, 5))) * len(packets)).astype(int):
        seconds = np.exp(rng.uniform(np.log(0.02), np.log(0.2))) if kind != "mp3_bytes" else 0.03
        damaged = packets.copy()
        for index in range(first, min(first + max(1, round(seconds / seconds_each)), len(packets))):
            damaged[index] = _overwritten(rng, coded.packets[index]) if kind == "mp3_bytes" else None
        after = coded.decode(damaged)
        fault = _heard(clean, after, coded.rate_hz)
        if fault and (not spans or fault[1] - spans[-1][2] > 0.4 * coded.rate_hz):
            packets, clean = damaged, after
            spans.append(fault)
        if len(spans) == 2:
            break
    scale = rate_hz / coded.rate_hz
    out = codecs.fitted(codecs.resampled(clean[delay:], coded.rate_hz, rate_hz), len(x))
    faults = [(label, int((a - delay) * scale), int((b - delay) * scale)) for label, a, b in spans]
    return out, [fault for fault in faults if fault[1] > 0 and fault[2] < len(x) - rate_hz // 10]


def lost_g711(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> tuple[np.ndarray, Spans]:
    """A call at 8 kHz that loses packets of 20 ms, filled with silence (a dropout) or the last one (a glitch)."""
    y = codecs.companded(codecs.resampled(x, rate_hz, 8000), bool(rng.random() < 0.5))
    spans: Spans = []
    last = 0
    for _ in range(int(rng.integers(1, 4))):
        num = 160 * int(rng.integers(1, 9))
        at = 160 * int(rng.integers(10, max(11, (len(y) - num) // 160 - 10)))
        if abs(at - last) < 4000 or not sounding(y, 8000, at, at + num, audible_floor(y)):
            continue
        silent = rng.random() < 0.4
        y[at : at + num] = 0 if silent else np.resize(y[at - 160 : at], num)
        if not silent and rng.random() < 0.5:
            y[at : at + num] *= np.repeat(0.7 ** np.arange(num // 160), 160).astype(np.float32)
        spans.append(("dropout" if silent else "glitch", at, at + num))
        last = at
    scale = rate_hz / 8000
    return codecs.fitted(codecs.resampled(y, 8000, rate_hz), len(x)), [
        (n, int(a * scale), int(b * scale)) for n, a, b in spans
    ]
