"""Media and transcripts by each of the three speech routes, as far along as a test needs them."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from appliance.services.box import Box
from appliance.services.speech import presigned, raw, transcripts
from appliance.services.speech import work as speech_work
from appliance.services.speech.batch_uploads import find_file
from appliance.services.speech.media import media_stored, object_key_of
from appliance.state import media as media_rows
from appliance.state.media import Media
from appliance.state.transcripts import Transcript
from tests.support.boxes import CONTENT, ORIGIN, SPEECH_MODEL, claim

RESULT: dict[str, Any] = {
    "text": "Yes.",
    "segments": [{"text": "Yes.", "start_ms": 1, "end_ms": 9, "confidence": 0.5}],
    "words": [{"text": "Yes.", "start_ms": 1, "end_ms": 9, "confidence": 0.5}],
}


@dataclass(frozen=True)
class Incoming:
    """A file of a batch upload."""

    content: bytes = CONTENT
    filename: str = "a.wav"
    content_type: str = "audio/wav"

    @property
    def blocks(self) -> Iterable[bytes]:
        """The content, in two blocks."""
        middle = len(self.content) // 2
        return iter((self.content[:middle], self.content[middle:]))


@dataclass(frozen=True)
class BrokenOff(Incoming):
    """A file whose connection breaks after its first block."""

    @property
    def blocks(self) -> Iterator[bytes]:
        """One block and an error."""
        yield self.content
        raise ConnectionResetError


def request_url(box: Box, tenant_id: int = 1, **fields: Any) -> tuple[Transcript, Media, str]:
    """A presigned URL: the transcript that waits, its media, and the key to which the client puts the bytes."""
    values: dict[str, Any] = {
        "filename": "a.wav",
        "content_type": "audio/wav",
        "callback_url": None,
        "model_id": None,
        "config": None,
        "origin": ORIGIN,
    }
    put = presigned.request_url(box, tenant_id, **values | fields)
    transcript = transcripts.find_transcript(box, tenant_id, "presigned", put.transcript_id)
    return transcript, media_of(box, transcript), urlsplit(put.url).path.removeprefix("/audio/")


def put_bytes(box: Box, key: str, content: bytes = CONTENT) -> None:
    """Put bytes to a presigned URL, without the event that storage then sends."""
    box.objects.put(key, content, content_type="audio/wav")


def stored_media(box: Box, tenant_id: int = 1, content: bytes = CONTENT) -> Media:
    """Media that came as a raw body."""
    body = io.BytesIO(content)
    media_id = raw.store_body(box, tenant_id, body, declared_bytes=len(content), content_type="audio/wav")
    return raw.find_media(box, tenant_id, media_id)


def batch_file(box: Box, tenant_id: int = 1, content: bytes = CONTENT) -> Media:
    """A file of a batch upload that is in storage."""
    media_id = str(uuid.uuid4())
    key = object_key_of(tenant_id, media_id)
    info = box.objects.put(key, content, content_type="audio/wav")
    with box.db.transaction() as tx:
        media_rows.insert_media(
            tx,
            media_id,
            tenant_id,
            route="batch",
            status="spooled",
            object_key=key,
            original_filename="a.wav",
            size_bytes=len(content),
            batch_id=f"batch-{media_id}",
        )
        media_stored(tx, media_id, "spooled", info.size_bytes, info.etag)
    return find_file(box, tenant_id, media_id)


def new_transcript(box: Box, media: Media, **values: Any) -> Transcript:
    """A transcript of media."""
    with box.db.transaction() as tx:
        transcript_id = transcripts.create_transcript(tx, media, **{"model": model_of(box), "options": {}} | values)
    return transcripts.find_transcript(box, media.tenant_id, media.route, transcript_id)


def complete(box: Box, result: dict[str, Any] = RESULT) -> None:
    """Complete the next transcript in the queue."""
    speech_work.complete(box, claim(box, "transcription"), 1000, result)


def model_of(box: Box) -> str:
    """``<name>@<version>`` of the model for transcription."""
    return box.models.resolve(SPEECH_MODEL).manifest.id


def media_of(box: Box, transcript: Transcript) -> Media:
    """The transcript's media as it is now."""
    media = media_rows.find_media(box.db, transcript.media_id)
    assert media is not None
    return media


def again(box: Box, transcript: Transcript) -> Transcript:
    """The transcript as it is now."""
    return transcripts.find_transcript(box, transcript.tenant_id, transcript.route, transcript.id)
