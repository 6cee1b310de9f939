"""Real stream damage: packets lost from coded streams, bytes overwritten, losses concealed by the decoder itself."""

import ctypes
import io
from functools import cache
from pathlib import Path

import av
import numpy as np

from . import codecs
from .levels import audible_floor, rms, sounding

Spans = list[tuple[str, int, int]]
"""(label, start sample, end sample) of each fault."""

OPUS_RATE_HZ = 48_000


def decode_each(packets: list[bytes], rate_hz: int, codec: str, extradata: bytes | None = None) -> list[np.ndarray]:
    """Decode packet by packet. Returns each packet's (samples,) float32; empty where the decoder gave nothing."""
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
    """The Opus library that PyAV brings along: its decoder can be told of a loss, which FFmpeg's cannot."""
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


def decode_opus_with_losses(packets: list[bytes | None], size: int) -> list[np.ndarray]:
    """Decode Opus packets of `size` samples, concealing those that are None. Returns (size,) float32 for each."""
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
    """An MP3 frame with bytes after its header and side information overwritten."""
    body = bytearray(data)
    first = min(len(body) - 1, int(rng.choice([4, 21, 36])))
    num = int(rng.integers(4, max(5, len(body) - first)))
    at = int(rng.integers(first, max(first + 1, len(body) - num)))
    body[at : at + num] = rng.integers(0, 256, len(body[at : at + num]), dtype=np.uint8).tobytes()
    return bytes(body)


def _changed(clean: list[np.ndarray], damaged: list[np.ndarray], first: int) -> tuple[int, int] | None:
    """Packets [from, to) whose samples differ audibly from `first` on; None if the damage cannot be heard."""
    differs = []
    for index in range(first, min(first + 12, len(clean))):
        a, b = clean[index], damaged[index]
        if len(a) != len(b) or rms(a - b) > 0.3 * rms(a) + 1e-4:
            differs.append(index)
    return (differs[0], differs[-1] + 1) if differs else None


def damaged_stream(rng: np.random.Generator, x: np.ndarray, rate_hz: int) -> tuple[np.ndarray, Spans]:
    """Code x (samples,), damage the stream in one or two places and decode it. Returns (samples,) and the faults."""
    kind = str(rng.choice(["opus_drop", "opus_conceal", "mp3_drop", "mp3_bytes", "vorbis_drop"]))
    extradata = None
    if kind.startswith("opus"):
        inner_hz, codec = OPUS_RATE_HZ, "libopus"
        y = codecs.resampled(x, rate_hz, inner_hz)
        frame_ms = int(rng.choice([10, 20, 20, 20, 40]))
        options = {"application": str(rng.choice(["voip", "audio"])), "compression_level": "3"}
        options["frame_duration"] = str(frame_ms)
        packets = codecs.encode(y, inner_hz, codec, int(rng.choice([12, 16, 24, 32, 64, 96])) * 1000, options)
        clean = decode_opus_with_losses(list(packets), 48 * frame_ms)
    elif kind.startswith("mp3"):
        inner_hz, codec = (rate_hz, "mp3float") if rate_hz in {8000, 16000, 44100, 48000} else (44100, "mp3float")
        y = codecs.resampled(x, rate_hz, inner_hz)
        packets = codecs.encode(y, inner_hz, "libmp3lame", int(rng.choice([32, 48, 64, 96, 128])) * 1000)
        clean = decode_each(packets, inner_hz, codec)
    else:
        inner_hz, codec, y = rate_hz, "vorbis", x
        packets, extradata = _vorbis_packets(x, rate_hz, float(rng.uniform(0, 1)))
        clean = decode_each(packets, inner_hz, codec, extradata)
    joined = np.concatenate(clean)
    reference = codecs.aligned(joined, y)
    delay = _delay(joined, reference)
    starts = np.cumsum([0] + [len(part) for part in clean]) - delay
    lost: dict[int, int] = {}
    for _ in range(int(rng.integers(1, 3))):
        first = int(rng.integers(len(packets) // 10 + 3, max(len(packets) // 10 + 4, len(packets) * 8 // 10)))
        seconds = np.exp(rng.uniform(np.log(0.02), np.log(0.2))) if kind != "mp3_bytes" else 0.03
        num = max(1, round(float(seconds) * inner_hz / max(256, len(joined) / max(1, len(packets)))))
        begin, end = int(starts[min(first, len(starts) - 1)]), int(starts[min(first + num, len(starts) - 1)])
        far = all(abs(first - other) * len(joined) / len(packets) > 0.6 * inner_hz for other in lost)
        if far and sounding(reference, inner_hz, begin, end, audible_floor(reference)):
            lost[first] = num
    gone = {index for first, num in lost.items() for index in range(first, first + num)}
    spans: Spans = []
    ms = inner_hz / 1000
    if kind.endswith("drop"):
        order = [index for index in range(len(packets)) if index not in gone]
        parts = decode_each([packets[index] for index in order], inner_hz, codec, extradata)
        position = dict(zip(order, np.cumsum([0] + [len(part) for part in parts])[:-1], strict=True))
        for first, num in sorted(lost.items()):
            if first + num in position:
                at = int(position[first + num]) - delay
                spans.append(("glitch", int(at - 5 * ms), int(at + 50 * ms)))
    else:
        if kind == "opus_conceal":
            parts = decode_opus_with_losses([None if i in gone else p for i, p in enumerate(packets)], 48 * frame_ms)
        else:
            parts = decode_each(
                [_overwritten(rng, p) if i in gone else p for i, p in enumerate(packets)], inner_hz, codec
            )
        parts = [b if len(b) else np.zeros_like(a) for a, b in zip(clean, parts, strict=True)]
        for first in sorted(lost):
            changed = _changed(clean, parts, first)
            if changed:
                spans.append(("glitch", int(starts[changed[0]]), int(starts[min(changed[1], len(starts) - 1)])))
    out = codecs.fitted(np.concatenate(parts)[delay:], len(y))
    scale = rate_hz / inner_hz
    faults = [(label, int(a * scale), int(b * scale)) for label, a, b in spans if a > 0 and b < len(y) - 100 * ms]
    return codecs.fitted(codecs.resampled(out, inner_hz, rate_hz), len(x)), faults


def _delay(joined: np.ndarray, reference: np.ndarray) -> int:
    """The shift that `codecs.aligned` took off."""
    probe = reference[len(reference) // 2 : len(reference) // 2 + 64]
    base = len(reference) // 2
    for delay in range(6000):
        if np.array_equal(joined[base + delay : base + delay + 64], probe):
            return delay
    return 0


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
