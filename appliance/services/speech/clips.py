"""Clips of recordings with a transcript: what is heard, and seen, at a word."""

from __future__ import annotations

from typing import IO

from appliance.engine.decode import spectrogram
from appliance.engine.decode.decoder import Clip
from appliance.engine.decode.png import to_png
from appliance.errors import AudioError, CannotBePlayed, NotUploaded, OutsideRecording
from appliance.services.box import Box
from appliance.services.clip_files import check_length, check_size, wav
from appliance.services.viewers import StoredRecording, Viewers
from appliance.state.media import find_media
from appliance.state.transcripts import Transcript

COLUMNS = 2048  # of a picture, at most


def clip(box: Box, viewers: Viewers, transcript: Transcript, start_ms: int, end_ms: int) -> IO[bytes]:
    """Return a WAV file, 32-bit float, with the recording's own rate and channels; it ends where the recording ends.

    Raises NotUploaded, CannotBePlayed if the clip is too long or the recording cannot be decoded, OutsideRecording, and
    TooManyLooks.
    """
    return wav(_decoded(box, viewers, transcript, start_ms, end_ms), box.settings.data_dir)


def picture(box: Box, viewers: Viewers, transcript: Transcript, start_ms: int, end_ms: int) -> bytes:
    """Return the spectrogram of a stretch as a grey PNG, 256 pixels high, scaled as tiles are. Raises as ``clip``."""
    made = _decoded(box, viewers, transcript, start_ms, end_ms)
    return to_png(spectrogram.picture(made.samples, made.info.sample_rate_hz, COLUMNS))


def _decoded(box: Box, viewers: Viewers, transcript: Transcript, start_ms: int, end_ms: int) -> Clip:
    check_length(start_ms, end_ms)
    media = find_media(box.db, transcript.media_id)
    if media is None or media.etag is None or media.size_bytes is None:
        raise NotUploaded("The recording of the transcript has not been uploaded.")
    recording = StoredRecording(box, media.object_key, media.etag, media.size_bytes)
    try:
        with viewers.for_request(transcript.tenant_id) as decoder:
            made = decoder.clip(recording, start_ms, end_ms)
    except AudioError as error:
        raise CannotBePlayed(f"The recording cannot be decoded: {error}") from error
    if not len(made.samples):
        raise OutsideRecording(f"The recording ends before {start_ms} ms.")
    check_size(made.info.sample_rate_hz, made.info.num_channels, end_ms - start_ms)
    return made
