"""The protocol between the decoder process and its parent.

The parent validates every field: the child reads untrusted files.

Down a socket of messages goes an Ask with two file descriptors: the recording, and a pipe for the answer. The recording
is a file, or, if the Ask has a size, a socket on which ``remote.py`` asks for ranges of it. Up the pipe come frames:
HEADER (kind, number of bytes), then JSON, float32 samples or other bytes. INFO comes first, END or ERROR is last. The
child sends READY on the socket when it can take a recording.

============  ========================================================================
Ask           frames between INFO and END
============  ========================================================================
``header``    none; END has the duration in the header
``mixed``     AUDIO as the Ask says; LOST if audio is missing in the stream; with ``look`` the frames of a look
``look``      TICK now and then; PIXELS of the envelope as they are made, then LOOK and the seek points in PIECE
``clip``      AUDIO from ``start_ms`` to ``end_ms``: all channels, interleaved, at the recording's own rate
``tile``      TILE: a spectrogram tile of ``level`` that begins at ``start_sample``
============  ========================================================================
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from appliance import errors
from appliance.engine.decode import peaks
from appliance.engine.decode.containers import MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ, AudioInfo
from appliance.engine.decode.damage import MAX_LOSSES
from appliance.engine.decode.seek_points import EVERY_SECONDS, POINT
from appliance.engine.decode.spectrogram import HEIGHT, WIDTH

MAX_ASK_BYTES = 8192
HEADER = struct.Struct("<cI")
READY = b"ready"

INFO, AUDIO, LOST, PIXELS, LOOK, PIECE = b"I", b"A", b"G", b"V", b"L", b"P"
TILE, TICK, END, ERROR = b"T", b".", b"E", b"X"
PIECE_BYTES = 1024**2

MAX_FRAME_BYTES = {
    INFO: 4096,
    AUDIO: 16 * 1024**2,
    LOST: 16 * MAX_LOSSES,
    PIXELS: PIECE_BYTES,
    LOOK: 4096,
    PIECE: PIECE_BYTES,
    TILE: HEIGHT * WIDTH,
    TICK: 0,
    END: 4096,
    ERROR: 16384,
}
MAX_SENTENCE = 1000  # characters

OUT_OF_MEMORY = 86  # exit status of a child whose allocation failed

_ERRORS = {
    error.code: error
    for error in (
        errors.EmptyFile,
        errors.CorruptAudio,
        errors.NoAudioStream,
        errors.UnsupportedAudio,
        errors.AudioTooShort,
        errors.AudioTooLong,
        errors.DecoderDied,
    )
}


@dataclass(frozen=True)
class Ask:
    """What the child is to do with a recording.

    A tile begins at a sample at the recording's own rate, a clip at a millisecond. ``num_samples`` is the length of the
    recording, if it is known.
    """

    kind: Literal["header", "mixed", "look", "clip", "tile"]
    sample_rate_hz: int = 0  # of mixed audio
    num_channels: int = 1  # of mixed audio: 1 or 2
    max_duration_seconds: float = 0.0
    look: bool = False
    level: int = 0
    start_sample: int = 0
    start_ms: int = 0
    end_ms: int = 0
    num_samples: int | None = None
    resume: dict[str, Any] | None = None
    size_bytes: int | None = None  # of a recording that is read in ranges

    def of_size(self, size_bytes: int) -> Self:
        """Return the same for a recording that is read in ranges."""
        return replace(self, size_bytes=size_bytes)

    def to_bytes(self) -> bytes:
        """Return the message."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, message: bytes) -> Self:
        """Read what ``to_bytes`` wrote."""
        return cls(**json.loads(message))


@dataclass(frozen=True)
class LookSizes:
    """The LOOK frame: what the envelope is, and how many seek points follow in PIECE frames."""

    num_samples: int
    delay: int
    num_points: int

    @property
    def num_bytes(self) -> int:
        """The number of bytes of the points."""
        return self.num_points * POINT.itemsize


class BadFrame(Exception):
    """The child wrote something that a sound decoder never writes. The message is a phrase, not a sentence."""


def parse_header(header: bytearray) -> tuple[bytes, int]:
    """Return the kind of a frame and the size of its payload in bytes. Raises BadFrame if either is impossible."""
    kind, size = HEADER.unpack(header)
    if size > MAX_FRAME_BYTES.get(kind, -1):
        raise BadFrame(f"a frame {kind!r} of {size} bytes")
    return kind, size


def parse_samples(payload: bytearray, num_channels: int = 1) -> np.ndarray:
    """Return the samples of an AUDIO frame, at least one, all finite. Raises BadFrame.

    They are (num_samples,) float32, or (num_samples, num_channels) if there is more than one channel.
    """
    if not payload or len(payload) % (4 * num_channels):
        raise BadFrame(f"an audio frame of {len(payload)} bytes")
    samples = np.frombuffer(payload, np.float32)
    if not np.isfinite(samples).all():
        raise BadFrame("samples that are not finite")
    return samples if num_channels == 1 else samples.reshape(-1, num_channels)


def parse_losses(payload: bytearray, largest: int) -> list[tuple[int, int]]:
    """Return the stretches of a LOST frame in a recording of up to ``largest`` samples, in order. Raises BadFrame."""
    if not payload or len(payload) % 16:
        raise BadFrame(f"losses in {len(payload)} bytes")
    edges = np.frombuffer(payload, "<i8")
    if edges[0] < 0 or edges[-1] > largest or np.any(edges[1::2] <= edges[::2]) or np.any(np.diff(edges) < 0):
        raise BadFrame("losses that are not in order")
    return [(start, end) for start, end in edges.reshape(-1, 2).tolist()]


def parse_tile(payload: bytearray) -> np.ndarray:
    """Return the tile of a TILE frame: (HEIGHT, WIDTH) uint8. Raises BadFrame."""
    if len(payload) != HEIGHT * WIDTH:
        raise BadFrame(f"a tile of {len(payload)} bytes")
    return np.frombuffer(payload, np.uint8).reshape(HEIGHT, WIDTH)


def parse_pixels(payload: bytearray, envelope: peaks.EnvelopeFile, info: AudioInfo, largest: int) -> bytearray:
    """Return a PIXELS frame. Raises BadFrame if the recording would be longer than ``largest`` samples with it."""
    num_pixels, rest = divmod(len(payload), info.num_channels * peaks.PIXEL_BYTES)
    if rest or (envelope.num_pixels + num_pixels - 1) * envelope.samples_per_pixel > largest:
        raise BadFrame("pixels that cannot be of the recording")
    return payload


def parse_look_sizes(payload: bytearray, envelope: peaks.EnvelopeFile, info: AudioInfo, largest: int) -> LookSizes:
    """Return a LOOK frame of a recording of up to ``largest`` samples, whose pixels are there. Raises BadFrame."""
    fields = _fields(payload)
    num_samples = _integer(fields, "num_samples", 1, largest)
    if not envelope.num_pixels or envelope.num_pixels != -(-num_samples // envelope.samples_per_pixel):
        raise BadFrame("an envelope that is not as long as the recording")
    most_points = num_samples // (EVERY_SECONDS * info.sample_rate_hz) + 2
    return LookSizes(
        num_samples=num_samples,
        delay=_integer(fields, "delay", 0, MAX_SAMPLE_RATE_HZ),
        num_points=_integer(fields, "num_points", 0, most_points),
    )


def parse_points(payload: bytearray, sizes: LookSizes) -> np.ndarray:
    """Return the seek points in the payloads of all PIECE frames: (num_points,) of POINT.

    Raises BadFrame if they are longer than ``sizes`` says.
    """
    if len(payload) != sizes.num_bytes:
        raise BadFrame("a look of another size than it said")
    return np.frombuffer(payload, POINT, sizes.num_points)


def parse_info(payload: bytearray) -> AudioInfo:
    """Return the properties of the recording in an INFO frame. Raises BadFrame."""
    fields = _fields(payload)
    return AudioInfo(
        container=_word(fields, "container"),
        codec=_word(fields, "codec"),
        sample_rate_hz=_integer(fields, "sample_rate_hz", MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ),
        num_channels=_integer(fields, "num_channels", 1, MAX_CHANNELS),
    )


def parse_num_source_samples(payload: bytearray, largest: int) -> int:
    """Return the number of samples that the recording has at its own rate. Raises BadFrame if over ``largest``."""
    return _integer(_fields(payload), "num_source_samples", 0, largest)


def parse_claimed_seconds(payload: bytearray) -> float | None:
    """Return the duration in the recording's header, None if the header has none. Raises BadFrame."""
    seconds = _fields(payload).get("claimed_seconds")
    if seconds is None:
        return None
    if not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
        raise BadFrame("bad duration")
    return float(seconds)


def parse_error(payload: bytearray) -> errors.AudioError:
    """Return the error of an ERROR frame, for the caller to raise. Raises BadFrame."""
    fields = _fields(payload)
    code, sentence = fields.get("code"), fields.get("sentence")
    if not isinstance(code, str) or code not in _ERRORS or not isinstance(sentence, str):
        raise BadFrame("unknown error code")
    return _ERRORS[code]("".join(c if c.isprintable() else "?" for c in sentence[:MAX_SENTENCE]))


def _fields(payload: bytearray) -> dict[str, object]:
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadFrame("not JSON") from error
    if not isinstance(fields, dict):
        raise BadFrame("not a JSON object")
    return fields


def _word(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 40 or not value.isascii() or not value.isprintable():
        raise BadFrame(f"bad {name}")
    return value


def _integer(fields: dict[str, object], name: str, smallest: int, largest: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not smallest <= value <= largest:
        raise BadFrame(f"bad {name}")
    return value
