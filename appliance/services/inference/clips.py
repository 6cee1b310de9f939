"""Clips: a stretch of a recording as WAV, with the very samples that a whole decode gives."""

from __future__ import annotations

import struct
import tempfile
from typing import IO

from appliance.engine.decode.decoder import Clip
from appliance.errors import AudioError, CannotBePlayed, OutsideRecording
from appliance.services.inference.recordings import find_recording
from appliance.services.inference.waveforms import Looking

MAX_CLIP_MS = 30_000
MAX_CLIP_BYTES = 64 * 1024**2  # 30 s of eight channels at 48 kHz have 46 MB
MEMORY_BYTES = 4 * 1024**2  # a longer clip waits for its client on the disk
FROM_START_MS = 300_000  # up to here a recording is decoded from its beginning; beyond, its outline is made first

_HEADER = struct.Struct("<4sI4s4sIHHIIHHH4sII4sI")
_FLOAT = 3


def clip(looking: Looking, tenant_id: int, job_id: str, file_id: str, start_ms: int, end_ms: int) -> IO[bytes]:
    """Return a WAV file, 32-bit float, with the recording's own rate and channels; it ends where the recording ends.

    Raises what ``find_recording`` raises, OutsideRecording if the recording ends before the clip, CannotBePlayed if the
    clip is too long or the recording cannot be decoded, BeingMade, and TooManyLooks.
    """
    if end_ms - start_ms > MAX_CLIP_MS:
        raise CannotBePlayed(f"A clip lasts up to {MAX_CLIP_MS} ms; this one would last {end_ms - start_ms} ms.")
    file, recording = find_recording(looking.box, tenant_id, job_id, file_id)
    outline = looking.outlines.find(looking.box, file)
    if outline is None and end_ms > FROM_START_MS:
        outline = looking.outline_of(tenant_id, file, recording)
    length_ms = outline.seconds * 1000 if outline else file.duration_ms
    if length_ms is not None and start_ms >= length_ms:
        raise OutsideRecording(f"The recording lasts {length_ms:.0f} ms; the clip would begin at {start_ms} ms.")
    if outline:
        _check_size(outline.info.sample_rate_hz, outline.info.num_channels, end_ms - start_ms)
    try:
        with looking.viewers.for_request(tenant_id) as decoder:
            made = decoder.clip(recording, start_ms, end_ms, outline)
    except AudioError as error:
        raise CannotBePlayed(f"The recording cannot be decoded: {error}") from error
    if not len(made.samples):
        raise OutsideRecording(f"The recording ends before {start_ms} ms.")
    _check_size(made.info.sample_rate_hz, made.info.num_channels, end_ms - start_ms)
    return _wav(made, looking)


def _check_size(sample_rate_hz: int, num_channels: int, length_ms: int) -> None:
    most_ms = MAX_CLIP_BYTES * 1000 // (4 * num_channels * sample_rate_hz)
    if length_ms > most_ms:
        raise CannotBePlayed(
            f"A clip of {num_channels} channels at {sample_rate_hz} Hz lasts up to {most_ms} ms; "
            f"this one would last {length_ms} ms."
        )


def _wav(made: Clip, looking: Looking) -> IO[bytes]:
    file: IO[bytes] = tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=str(looking.box.settings.data_dir))  # noqa: SIM115
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
