"""The raw route: a body becomes media, streamed to storage as it arrives; then transcripts of it."""

from __future__ import annotations

import time
import uuid
from typing import Any

from appliance.errors import FileTooLarge, Forbidden, InvalidRequest
from appliance.services.box import Box
from appliance.services.content_types import known_content_type
from appliance.services.speech import transcripts
from appliance.services.speech.media import delete_media, media_stored, object_key_of
from appliance.state import media as media_rows
from appliance.state import transcripts as transcript_rows
from appliance.state.media import Media
from appliance.state.transcripts import Transcript
from appliance.storage.objects import Readable

UPLOAD_SECONDS = 86_400  # a body that takes longer to arrive counts as never uploaded


class BoundedBody:
    """A body as storage reads it: whole blocks, counted, up to the size limit of a file."""

    def __init__(self, body: Readable, max_bytes: int) -> None:
        self._body = body
        self._max_bytes = max_bytes
        self.size_bytes = 0

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, fewer at the end. Raises FileTooLarge, and InvalidRequest if the body breaks off."""
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


def store_body(box: Box, tenant_id: int, body: Readable, *, declared_bytes: int | None, content_type: str) -> str:
    """Stream a body to storage and return the id of its media.

    The row comes first: if this process dies in between, the sweep settles it.
    Raises FileTooLarge, and InvalidRequest if the body is empty or breaks off.
    """
    media_id, content_type = str(uuid.uuid4()), known_content_type(content_type)
    key = object_key_of(tenant_id, media_id)
    bounded = BoundedBody(body, box.settings.max_upload_bytes)
    with box.db.transaction() as tx:
        media_rows.insert_media(
            tx,
            media_id,
            tenant_id,
            status="pending",
            object_key=key,
            content_type=content_type,
            upload_expires_at=time.time() + UPLOAD_SECONDS,
        )
    try:
        etag = box.objects.put_stream(key, bounded, content_type)
        if declared_bytes is not None and bounded.size_bytes != declared_bytes:
            raise InvalidRequest(f"The body broke off: {declared_bytes} bytes were declared.")
        if not bounded.size_bytes:
            raise InvalidRequest("The body is empty; send the bytes of a recording.")
    except BaseException:
        with box.db.transaction() as tx:
            delete_media(tx, tenant_id, media_id)
        raise
    with box.db.transaction() as tx:
        media_stored(tx, media_id, "pending", bounded.size_bytes, etag)
    return media_id


def find_media(box: Box, tenant_id: int, media_id: str) -> Media:
    """Return the tenant's media. Raises Forbidden also for unknown media: an id must reveal nothing."""
    media = media_rows.get_media(box.db, tenant_id, media_id)
    if media is None:
        raise Forbidden("Cannot access uploaded file")
    return media


def transcribe(box: Box, tenant_id: int, media_id: str, model: str, options: dict[str, Any]) -> Transcript:
    """Create a transcript of the tenant's media. Raises Forbidden."""
    with box.db.transaction() as tx:
        media = find_media(box, tenant_id, media_id)
        transcript_id = transcripts.create_transcript(tx, media, model=model, options=options)
    return transcripts.find_transcript(box, tenant_id, transcript_id)


def delete_transcript(box: Box, transcript: Transcript) -> None:
    """Remove a transcript, and its media with the bytes if no other transcript uses them."""
    with box.db.transaction() as tx:
        transcript_rows.delete_transcript(tx, transcript.id)
        if not transcript_rows.list_of_media(tx, transcript.media_id):
            delete_media(tx, transcript.tenant_id, transcript.media_id)
