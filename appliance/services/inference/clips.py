"""Clips: a stretch of a recording as WAV, with the very samples that a whole decode gives."""

from __future__ import annotations

from typing import IO

from appliance.errors import OutsideRecording
from appliance.services.clip_files import check_length, check_size, decode_clip, wav
from appliance.services.inference.recordings import find_recording
from appliance.services.inference.waveforms import Looking

FROM_START_MS = 300_000  # up to here a recording is decoded from its beginning; beyond, its outline is made first


def clip(looking: Looking, tenant_id: int, job_id: str, file_id: str, start_ms: int, end_ms: int) -> IO[bytes]:
    """Return a WAV file, 32-bit float, with the recording's own rate and channels; it ends where the recording ends.

    Raises what ``find_recording`` raises, OutsideRecording if the recording ends before the clip, CannotBePlayed if the
    clip is too long or the recording cannot be decoded, BeingMade, and TooManyLooks.
    """
    check_length(start_ms, end_ms)
    file, recording = find_recording(looking.box, tenant_id, job_id, file_id)
    outline = looking.outlines.find(looking.box, file)
    if outline is None and end_ms > FROM_START_MS:
        outline = looking.outline_of(tenant_id, file, recording)
    length_ms = outline.seconds * 1000 if outline else file.duration_ms
    if length_ms is not None and start_ms >= length_ms:
        raise OutsideRecording(f"The recording lasts {length_ms:.0f} ms; the clip would begin at {start_ms} ms.")
    if outline:
        check_size(outline.info.sample_rate_hz, outline.info.num_channels, end_ms - start_ms)
    made = decode_clip(looking.viewers, tenant_id, recording, start_ms, end_ms, outline)
    return wav(made, looking.box.settings.data_dir)
