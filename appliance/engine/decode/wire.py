"""The protocol between the decoder process and its parent.

The parent validates every field: the child reads untrusted files.

Down a socket of messages goes REQUEST with two file descriptors: the recording, and a pipe for the answer. Up the pipe
come frames: HEADER (kind, number of bytes), then JSON or float32 samples. INFO comes first, AUDIO follows, END or ERROR
is last. A sample rate of HEADER_ONLY asks for INFO and END alone. The child sends READY on the socket when it can take
a file.
"""

from __future__ import annotations

import json
import struct

import numpy as np

from appliance import errors
from appliance.engine.decode.containers import MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ, AudioInfo

REQUEST = struct.Struct("<Id")  # sample rate of the answer in Hz, longest recording in seconds
HEADER = struct.Struct("<cI")
READY = b"ready"
HEADER_ONLY = 0

INFO, AUDIO, END, ERROR = b"I", b"A", b"E", b"X"

MAX_FRAME_BYTES = {INFO: 4096, AUDIO: 16 * 1024**2, END: 4096, ERROR: 16384}
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


class BadFrame(Exception):
    """The child wrote something that a sound decoder never writes. The message is a phrase, not a sentence."""


def parse_header(header: bytearray) -> tuple[bytes, int]:
    """Return the kind of a frame and the size of its payload in bytes. Raises BadFrame if either is impossible."""
    kind, size = HEADER.unpack(header)
    if size > MAX_FRAME_BYTES.get(kind, -1):
        raise BadFrame(f"a frame {kind!r} of {size} bytes")
    return kind, size


def parse_samples(payload: bytearray) -> np.ndarray:
    """Return the samples of an AUDIO frame: (num_samples,) float32, at least one, all finite. Raises BadFrame."""
    if not payload or len(payload) % 4:
        raise BadFrame(f"an audio frame of {len(payload)} bytes")
    samples = np.frombuffer(payload, np.float32)
    if not np.isfinite(samples).all():
        raise BadFrame("samples that are not finite")
    return samples


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
