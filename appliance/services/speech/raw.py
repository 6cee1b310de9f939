"""Media whose bytes come through the API: streamed to storage as they arrive, with none kept in memory."""

from __future__ import annotations

import time
import uuid
from typing import Any

from appliance.errors import FileTooLarge, Forbidden, InvalidRequest
from appliance.services.box import Box
from appliance.services.content_types import known_content_type
from appliance.services.speech import transcripts
from appliance.state import media, work
from appliance.state import transcripts as transcript_rows
from appliance.state.media import Media
from appliance.state.transcripts import Transcript
from appliance.storage.objects import Readable

UPLOAD_SECONDS = 86_400  # the longest a body may take to arrive before its media counts as never uploaded


class Intake:
    """A body as storage reads it: whole blocks, counted, no larger than a file may be."""

    def __init__(self, body: Readable, max_bytes: int) -> None:
        self._body = body
        self._max_bytes = max_bytes
        self.size_bytes = 0

    def read(self, size: int, /) -> bytes:
        """``size`` bytes, fewer at the end. Raises FileTooLarge, and InvalidRequest where the body broke off."""
        block = bytearray()
        try:
            while len(block) < size and (piece := self._body.read(size - len(block))):
                block += piece
        except OSError as error:
            raise InvalidRequest("The body broke off before its end.") from error
        self.size_bytes += len(block)
        if self.size_bytes > self._max_bytes:
            raise FileTooLarge(f"The file is over the limit of {self._max_bytes} bytes.")
        return bytes(block)


def folder_of(tenant_id: int, media_id: str) -> str:
    """Where media is in storage; the object is ``original`` in it."""
    return f"tenant-{tenant_id}/media/{media_id}"


def store_body(box: Box, tenant_id: int, body: Readable, *, declared_bytes: int | None, content_type: str) -> str:
    """Stream a body to storage; the id of its media.

    The row comes first, so that the sweep settles it if this process dies on the way.
    Raises FileTooLarge, InvalidRequest for an empty body or one that broke off.
    """
    media_id, content_type = str(uuid.uuid4()), known_content_type(content_type)
    key = f"{folder_of(tenant_id, media_id)}/original"
    intake = Intake(body, box.settings.max_upload_bytes)
    with box.db.transaction():
        expires_at = time.time() + UPLOAD_SECONDS
        media.insert_media(
            box.db,
            media_id,
            tenant_id,
            status="pending",
            object_key=key,
            content_type=content_type,
            upload_expires_at=expires_at,
        )
    try:
        etag = box.objects.put_stream(key, intake, content_type)
        if declared_bytes is not None and intake.size_bytes != declared_bytes:
            raise InvalidRequest(f"The body broke off: {declared_bytes} bytes were declared.")
        if not intake.size_bytes:
            raise InvalidRequest("The body is empty; send the bytes of a recording.")
    except BaseException:
        _forget(box, tenant_id, media_id)
        raise
    with box.db.transaction():
        transcripts.media_stored(box, media_id, "pending", intake.size_bytes, etag)
    return media_id


def find_upload(box: Box, tenant_id: int, media_id: str) -> Media:
    """The tenant's media. Raises Forbidden for another's and for what is not there: an id must tell nothing."""
    found = media.get_media(box.db, tenant_id, media_id)
    if found is None:
        raise Forbidden("Cannot access uploaded file")
    return found


def transcribe(box: Box, tenant_id: int, media_id: str, model: str, options: dict[str, Any]) -> Transcript:
    """Ask for a transcript of the tenant's media. Raises Forbidden."""
    with box.db.transaction():
        source = find_upload(box, tenant_id, media_id)
        transcript_id = transcripts.request(box, source, model=model, options=options)
    return transcripts.find(box, tenant_id, transcript_id)


def delete_transcript(box: Box, found: Transcript) -> None:
    """Remove a transcript, and its media with its bytes where nothing else was asked of that."""
    with box.db.transaction():
        transcript_rows.delete_transcript(box.db, found.id)
        if not transcript_rows.list_transcripts(box.db, found.tenant_id, media_id=found.media_id, limit=1):
            media.delete_media(box.db, found.media_id)
            folder = folder_of(found.tenant_id, found.media_id)
            work.enqueue(box.db, "purge", folder, folder)


def _forget(box: Box, tenant_id: int, media_id: str) -> None:
    with box.db.transaction():
        media.delete_media(box.db, media_id)
        folder = folder_of(tenant_id, media_id)
        work.enqueue(box.db, "purge", folder, folder)
