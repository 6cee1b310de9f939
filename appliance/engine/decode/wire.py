"""What a decoder process and its parent say to each other, and how little of it the parent believes.

Down a socket of messages goes REQUEST with two file descriptors: the recording, and a pipe for the answer. Up the pipe
come frames: HEADER (kind, number of bytes), then JSON or float32 samples. INFO comes first, AUDIO follows, END or ERROR
is last. A sample rate of HEADER_ONLY asks for INFO and END alone. The child says READY on the socket when it can take
a file.
"""

from __future__ import annotations

import json
import struct

import numpy as np

from appliance import errors
from appliance.engine.decode.containers import MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ, AudioInfo

REQUEST = struct.Struct("<Id")  # sample rate of the answer, longest recording in seconds
HEADER = struct.Struct("<cI")
READY = b"ready"
HEADER_ONLY = 0

INFO, AUDIO, END, ERROR = b"I", b"A", b"E", b"X"

MAX_FRAME_BYTES = {INFO: 4096, AUDIO: 16 * 1024**2, END: 4096, ERROR: 16384}
MAX_SENTENCE = 1000

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
    """The child wrote what no sound decoder writes."""


def frame_size(header: bytearray) -> tuple[bytes, int]:
    """Kind and payload size of a header. Raises BadFrame where either is impossible."""
    kind, size = HEADER.unpack(header)
    if size > MAX_FRAME_BYTES.get(kind, -1):
        raise BadFrame(f"frame {kind!r} of {size} bytes")
    return kind, size


def samples_of(payload: bytearray) -> np.ndarray:
    """(num_samples,) float32, all finite, at least one. Raises BadFrame."""
    if not payload or len(payload) % 4:
        raise BadFrame(f"{len(payload)} bytes of samples")
    samples = np.frombuffer(payload, np.float32)
    if not np.isfinite(samples).all():
        raise BadFrame("samples that are no numbers")
    return samples


def info_of(payload: bytearray) -> AudioInfo:
    """What the child found in the file. Raises BadFrame."""
    fields = _fields(payload)
    return AudioInfo(
        container=_word(fields.get("container")),
        codec=_word(fields.get("codec")),
        sample_rate_hz=_integer(fields.get("sample_rate_hz"), MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ),
        num_channels=_integer(fields.get("num_channels"), 1, MAX_CHANNELS),
    )


def num_source_samples_of(payload: bytearray, largest: int) -> int:
    """How many samples the recording had at its own rate. Raises BadFrame."""
    return _integer(_fields(payload).get("num_source_samples"), 0, largest)


def claimed_seconds_of(payload: bytearray) -> float | None:
    """How long the recording says it is, None where it does not. Raises BadFrame."""
    claimed = _fields(payload).get("claimed_seconds")
    if claimed is None:
        return None
    if not isinstance(claimed, (int, float)) or not 0 < claimed < float("inf"):
        raise BadFrame("a length that is none")
    return float(claimed)


def error_of(payload: bytearray) -> errors.AudioError:
    """The error that the child found, to be raised. Raises BadFrame."""
    fields = _fields(payload)
    code, sentence = fields.get("code"), fields.get("sentence")
    if not isinstance(code, str) or code not in _ERRORS or not isinstance(sentence, str):
        raise BadFrame("an error without a known code")
    return _ERRORS[code]("".join(c if c.isprintable() else "?" for c in sentence[:MAX_SENTENCE]))


def _fields(payload: bytearray) -> dict[str, object]:
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadFrame("no JSON") from error
    if not isinstance(fields, dict):
        raise BadFrame("JSON that is no object")
    return fields


def _word(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 40 or not value.isascii() or not value.isprintable():
        raise BadFrame("a name that is none")
    return value


def _integer(value: object, smallest: int, largest: int) -> int:
    if type(value) is not int or not smallest <= value <= largest:
        raise BadFrame("a number out of range")
    return value
