"""Real mechanisms: coded streams that lose packets or have bytes overwritten, and what decoders make of them.

Each takes (num_samples, num_channels) float32, its rate, the number of losses and a random generator. It returns a
``Damaged``: the decoded recording with its events, and the damaged stream itself if that is what a client sends. A
decoded recording comes from libsndfile, which closes gaps. A stream that is sent is decoded by the product, which keeps
the time of a gap. So the product's decoder, and nothing else of the product, makes the truth about such a stream.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import soundfile

from appliance.engine.decode.recording import open_audio
from evaluation import ogg, opus
from evaluation.containers import mp3_bytes, vorbis_bytes
from evaluation.damage import apart_from, event_between
from evaluation.labels import Event

G711_RATE_HZ = 8_000


@dataclass(frozen=True)
class Damaged:
    """audio : (num_samples, num_channels) as heard; stream : the damaged bytes and their suffix, if they are sent."""

    audio: np.ndarray
    events: list[Event]
    stream: bytes | None = None
    suffix: str = ""


def _one_at_a_time(
    decode: Callable[[list], np.ndarray], losses: list, count: int, rate_hz: int, mechanism: str
) -> tuple[np.ndarray, list[Event], list]:
    """Keep ``count`` of the losses (in order of time) that make an event; return audio, events and the losses kept."""
    kept: list = []
    events: list[Event] = []
    audio = decode(kept)
    for loss in losses:
        if len(events) == count:
            break
        candidate = decode([*kept, loss])
        event = event_between(audio, candidate, rate_hz, mechanism)
        if event is not None and apart_from(event, events):
            audio, kept = candidate, [*kept, loss]
            events.append(event)
    return audio, events, kept


def _shares(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return sorted positions in (0, 1): three times as many as wanted, since some will be inaudible."""
    return np.sort(rng.uniform(0.08, 0.92, 3 * count))


def opus_concealed(audio: np.ndarray, rate_hz: int, count: int, rng: np.random.Generator) -> Damaged:
    """Lost packets that the decoder knows of."""
    return _opus(audio, rate_hz, count, rng, "opus_concealed", is_told=True)


def opus_dropped(audio: np.ndarray, rate_hz: int, count: int, rng: np.random.Generator) -> Damaged:
    """Removed packets that the decoder does not know of: time is missing."""
    return _opus(audio, rate_hz, count, rng, "opus_dropped", is_told=False)


def _opus(
    audio: np.ndarray, rate_hz: int, count: int, rng: np.random.Generator, mechanism: str, is_told: bool
) -> Damaged:
    num_channels = audio.shape[1]
    coded = opus.packets(audio, rate_hz, int(rng.choice([16, 24, 32, 64])) * num_channels)

    def decode(losses: list[range]) -> np.ndarray:
        lost = {number for loss in losses for number in loss}
        if is_told:
            stream = [None if number in lost else packet for number, packet in enumerate(coded)]
        else:
            stream = [packet for number, packet in enumerate(coded) if number not in lost]
        return opus.decode(stream, rate_hz, num_channels)

    losses = [
        range(first, first + int(rng.integers(1, 6)))
        for first in (_shares(count, rng) * len(coded)).astype(int)
    ]  # fmt: skip
    decoded, events, _kept = _one_at_a_time(decode, losses, count, rate_hz, mechanism)
    return Damaged(decoded, events)


def vorbis_dropped(audio: np.ndarray, rate_hz: int, count: int, rng: np.random.Generator) -> Damaged:
    is_sent, decode_stream = _listener(rng)
    stream = vorbis_bytes(audio, rate_hz, float(rng.uniform(0.0, 0.6)))
    losses = [ogg.pick_near(stream, share, int(rng.integers(1, 8)), rng) for share in _shares(count, rng)]

    def damaged(kept: list[frozenset[int]]) -> bytes:
        return ogg.without_packets(stream, frozenset().union(*kept))

    def decode(kept: list[frozenset[int]]) -> np.ndarray:
        return decode_stream(damaged(kept))

    decoded, events, kept = _one_at_a_time(decode, losses, count, rate_hz, "vorbis_dropped")
    return Damaged(decoded, events, damaged(kept) if is_sent else None, ".ogg")


def mp3_dropped(audio: np.ndarray, rate_hz: int, count: int, rng: np.random.Generator) -> Damaged:
    """Removed frames. Later frames miss the bits that they had stored in them (the bit reservoir)."""
    is_sent, decode_stream = _listener(rng)
    coded = mp3_bytes(audio, rate_hz, _mp3_kilobits(audio, rng))
    frames = _mp3_frames(coded)

    def damaged(losses: list[range]) -> bytes:
        lost = {number for loss in losses for number in loss}
        return b"".join(frame for number, frame in enumerate(frames) if number not in lost)

    losses = [
        range(int(share * len(frames)), int(share * len(frames)) + int(rng.integers(1, 5)))
        for share in _shares(count, rng)
    ]

    def decode(kept: list[range]) -> np.ndarray:
        return decode_stream(damaged(kept))

    decoded, events, kept = _one_at_a_time(decode, losses, count, rate_hz, "mp3_dropped")
    return Damaged(decoded, events, damaged(kept) if is_sent else None, ".mp3")


def mp3_overwritten(audio: np.ndarray, rate_hz: int, count: int, rng: np.random.Generator) -> Damaged:
    """Bytes overwritten inside one to three frames, headers spared or not."""
    is_sent, decode_stream = _listener(rng)
    coded = b"".join(_mp3_frames(mp3_bytes(audio, rate_hz, _mp3_kilobits(audio, rng))))
    losses = []
    for share in _shares(count, rng):
        length = int(rng.integers(4, 400))
        losses.append((int(share * len(coded)), rng.integers(0, 256, length, dtype=np.uint8).tobytes()))

    def damaged(kept: list[tuple[int, bytes]]) -> bytes:
        stream = bytearray(coded)
        for first, garbage in kept:
            stream[first : first + len(garbage)] = garbage
        return bytes(stream[: len(coded)])

    def decode(kept: list[tuple[int, bytes]]) -> np.ndarray:
        return decode_stream(damaged(kept))

    decoded, events, kept = _one_at_a_time(decode, losses, count, rate_hz, "mp3_overwritten")
    return Damaged(decoded, events, damaged(kept) if is_sent else None, ".mp3")


def _mp3_kilobits(audio: np.ndarray, rng: np.random.Generator) -> int:
    return int(rng.choice([32, 48, 64])) * audio.shape[1]


def _listener(rng: np.random.Generator) -> tuple[bool, Callable[[bytes], np.ndarray]]:
    """Return whether the damaged stream itself is sent, and the decoder that defines what can be heard."""
    is_sent = bool(rng.random() < 0.35)
    return is_sent, _decoded_by_product if is_sent else _decoded


def _decoded_by_product(stream: bytes) -> np.ndarray:
    return np.concatenate(list(open_audio(io.BytesIO(stream)).blocks()))


def _decoded(stream: bytes) -> np.ndarray:
    with _quiet():
        return soundfile.read(io.BytesIO(stream), dtype="float32", always_2d=True)[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the standard error: mpg123 reports every damaged frame there, and these are damaged on purpose."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _mp3_frames(coded: bytes) -> list[bytes]:
    """Frames of layer III, without the tags in front and without the first frame, which only gives the length."""
    rates = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
    kilobits_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    kilobits_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    frames, position = [], 0
    if coded[:3] == b"ID3":
        position = 10 + sum((coded[6 + i] & 0x7F) << (7 * (3 - i)) for i in range(4))
    while position + 4 <= len(coded):
        if coded[position] != 0xFF or coded[position + 1] & 0xE0 != 0xE0:
            position += 1
            continue
        version = (coded[position + 1] >> 3) & 3
        rate_hz = rates[version][(coded[position + 2] >> 2) & 3]
        kilobits = (kilobits_1 if version == 3 else kilobits_2)[coded[position + 2] >> 4]
        size = (144000 if version == 3 else 72000) * kilobits // rate_hz + ((coded[position + 2] >> 1) & 1)
        frames.append(coded[position : position + size])
        position += size
    return frames[1:]


def g711_silence(audio: np.ndarray, rate_hz: int, count: int, rng: np.random.Generator) -> Damaged:
    """Telephone packets lost, played as silence."""
    return _g711(audio, rate_hz, count, rng, repeat=False)


def g711_repeated(audio: np.ndarray, rate_hz: int, count: int, rng: np.random.Generator) -> Damaged:
    """Telephone packets lost, the last one played again."""
    return _g711(audio, rate_hz, count, rng, repeat=True)


def _g711(audio: np.ndarray, rate_hz: int, count: int, rng: np.random.Generator, repeat: bool) -> Damaged:
    if rate_hz != G711_RATE_HZ:
        raise ValueError(f"G.711 has {G711_RATE_HZ} Hz, not {rate_hz}")
    stream = io.BytesIO()
    soundfile.write(stream, audio, rate_hz, format="WAV", subtype=str(rng.choice(["ULAW", "ALAW"])))
    decoded = _decoded(stream.getvalue())
    size = int(rate_hz * float(rng.choice([0.01, 0.02, 0.03])))
    longest = 4 if repeat else 9
    losses = [(int(share * len(decoded)) // size, int(rng.integers(1, longest))) for share in _shares(count, rng)]

    def decode(kept: list[tuple[int, int]]) -> np.ndarray:
        out = decoded.copy()
        for first, number in kept:
            begin, end = first * size, (first + number) * size
            last = out[begin - size : begin]
            out[begin:end] = np.resize(last, out[begin:end].shape) if repeat else 0.0
        return out

    mechanism = "g711_repeated" if repeat else "g711_silence"
    audio, events, _kept = _one_at_a_time(decode, losses, count, rate_hz, mechanism)
    return Damaged(audio, events)


MECHANISMS: dict[str, Callable[[np.ndarray, int, int, np.random.Generator], Damaged]] = {
    "opus_concealed": opus_concealed,
    "opus_dropped": opus_dropped,
    "vorbis_dropped": vorbis_dropped,
    "mp3_dropped": mp3_dropped,
    "mp3_overwritten": mp3_overwritten,
    "g711_silence": g711_silence,
    "g711_repeated": g711_repeated,
}
