"""Clips of recordings as WAV files and as pictures, and how long they may be."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import IO

from appliance.engine.decode import spectrogram
from appliance.engine.decode.decoder import Clip
from appliance.engine.decode.look import Outline
from appliance.engine.decode.png import to_png
from appliance.errors import AudioError, CannotBePlayed, OutsideRecording
from appliance.services.viewers import StoredRecording, Viewers

MAX_CLIP_MS = 30_000
MAX_CLIP_BYTES = 64 * 1024**2  # 30 s of eight channels at 48 kHz have 46 MB
COLUMNS = 2048  # of a picture, at most
MEMORY_BYTES = 4 * 1024**2  # a longer clip waits for its client on the disk

_HEADER = struct.Struct("<4sI4s4sIHHIIHHH4sII4sI")
_FLOAT = 3


def check_length(start_ms: int, end_ms: int) -> None:
    """Raise CannotBePlayed if a clip would last too long."""
    if end_ms - start_ms > MAX_CLIP_MS:
        raise CannotBePlayed(f"A clip lasts up to {MAX_CLIP_MS} ms; this one would last {end_ms - start_ms} ms.")


def check_size(sample_rate_hz: int, num_channels: int, length_ms: int) -> None:
    """Raise CannotBePlayed if a clip would have too many bytes."""
    most_ms = MAX_CLIP_BYTES * 1000 // (4 * num_channels * sample_rate_hz)
    if length_ms > most_ms:
        raise CannotBePlayed(
            f"A clip of {num_channels} channels at {sample_rate_hz} Hz lasts up to {most_ms} ms; "
            f"this one would last {length_ms} ms."
        )


def decode_clip(
    viewers: Viewers,
    tenant_id: int,
    recording: StoredRecording,
    start_ms: int,
    end_ms: int,
    outline: Outline | None = None,
) -> Clip:
    """Return a stretch of a recording; it ends where the recording ends.

    Raises CannotBePlayed if the clip is too long or the recording cannot be decoded, OutsideRecording, TooManyLooks.
    """
    check_length(start_ms, end_ms)
    try:
        with viewers.for_request(tenant_id) as decoder:
            made = decoder.clip(recording, start_ms, end_ms, outline)
    except AudioError as error:
        raise CannotBePlayed(f"The recording cannot be decoded: {error}") from error
    if not len(made.samples):
        raise OutsideRecording(f"The recording ends before {start_ms} ms.")
    check_size(made.info.sample_rate_hz, made.info.num_channels, end_ms - start_ms)
    return made


def picture(made: Clip) -> bytes:
    """Return the spectrogram of a clip as a grey PNG, 256 pixels high, scaled as tiles are."""
    return to_png(spectrogram.picture(made.samples, made.info.sample_rate_hz, COLUMNS))


def wav(made: Clip, folder: Path) -> IO[bytes]:
    """Return a WAV file of 32-bit floats with the recording's rate and channels. A long one lies in ``folder``."""
    file: IO[bytes] = tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=str(folder))  # noqa: SIM115
    rate, channels = made.info.sample_rate_hz, made.info.num_channels
    size = made.samples.nbytes
    frame = 4 * channels
    layout = (b"fmt ", 18, _FLOAT, channels, rate, rate * frame, frame, 32, 0)
    file.write(
        _HEADER.pack(b"RIFF", _HEADER.size - 8 + size, b"WAVE", *layout, b"fact", 4, len(made.samples), b"data", size)
    )
    file.write(made.samples.astype("<f4", copy=False).data.cast("B"))
    file.seek(0)
    return file
