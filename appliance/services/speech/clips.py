"""Clips of recordings with a transcript: what is heard, and seen, at a word."""

from __future__ import annotations

from typing import IO

from appliance.engine.decode.decoder import Clip
from appliance.errors import NotUploaded
from appliance.services.box import Box
from appliance.services.clip_files import decode_clip, wav
from appliance.services.clip_files import picture as picture_of
from appliance.services.viewers import StoredRecording, Viewers
from appliance.state.media import find_media
from appliance.state.transcripts import Transcript


def clip(box: Box, viewers: Viewers, transcript: Transcript, start_ms: int, end_ms: int) -> IO[bytes]:
    """Return a WAV file, 32-bit float, with the recording's own rate and channels; it ends where the recording ends.

    Raises NotUploaded, CannotBePlayed if the clip is too long or the recording cannot be decoded, OutsideRecording, and
    TooManyLooks.
    """
    return wav(_decoded(box, viewers, transcript, start_ms, end_ms), box.settings.data_dir)


def picture(box: Box, viewers: Viewers, transcript: Transcript, start_ms: int, end_ms: int) -> bytes:
    """Return the spectrogram of a stretch as a grey PNG, 256 pixels high, scaled as tiles are. Raises as ``clip``."""
    return picture_of(_decoded(box, viewers, transcript, start_ms, end_ms))


def _decoded(box: Box, viewers: Viewers, transcript: Transcript, start_ms: int, end_ms: int) -> Clip:
    media = find_media(box.db, transcript.media_id)
    if media is None or media.etag is None or media.size_bytes is None:
        raise NotUploaded("The recording of the transcript has not been uploaded.")
    recording = StoredRecording(box, media.object_key, media.etag, media.size_bytes)
    return decode_clip(viewers, transcript.tenant_id, recording, start_ms, end_ms)
