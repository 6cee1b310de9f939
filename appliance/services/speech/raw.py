"""Uploads of the raw route: a body becomes media, streamed to storage as it arrives."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from appliance.errors import FileTooLarge, Forbidden, InvalidRequest
from appliance.services import quotas
from appliance.services.box import Box
from appliance.services.content_types import known_content_type
from appliance.services.quotas import Meter
from appliance.services.speech.media import delete_media, media_stored, object_key_of
from appliance.state import media as media_rows
from appliance.state.media import Media
from appliance.state.moves import Route
from appliance.storage.objects import Readable

ROUTE: Route = "raw"
SWEEP_BATCH = 100
UPLOAD_SECONDS = 86_400  # a body that takes longer to arrive counts as never uploaded


class BoundedBody:
    """A body as storage reads it: whole blocks, counted, up to the size limit of a file."""

    def __init__(self, body: Readable, max_bytes: int, check: Callable[[int], None] = lambda _: None) -> None:
        """``check`` is called after each block with the number of bytes so far, and may raise."""
        self._body = body
        self._check = check
        self._max_bytes = max_bytes
        self.size_bytes = 0

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, fewer at the end.

        Raises FileTooLarge, what the check raises, and InvalidRequest if the body breaks off.
        """
        block = bytearray()
        try:
            while len(block) < size and (piece := self._body.read(size - len(block))):
                block += piece
        except OSError as error:
            raise InvalidRequest("The body broke off before its end.") from error
        self.size_bytes += len(block)
        if self.size_bytes > self._max_bytes:
            raise FileTooLarge(f"The file is over the limit of {self._max_bytes} bytes.")
        self._check(self.size_bytes)
        return bytes(block)


def store_body(box: Box, tenant_id: int, body: Readable, *, declared_bytes: int | None, content_type: str) -> str:
    """Stream a body to storage and return the id of its media.

    The row comes first: if this process dies in between, the sweep settles it.
    Raises FileTooLarge, QuotaExceeded, StorageFull, and InvalidRequest if the body is empty or breaks off.
    """
    media_id, content_type = str(uuid.uuid4()), known_content_type(content_type)
    key = object_key_of(tenant_id, media_id)
    meter = Meter(box, tenant_id, declared_bytes or 0)
    bounded = BoundedBody(body, box.settings.max_upload_bytes, meter.reach)
    with box.db.transaction() as tx:
        quotas.check_upload(box, tx, tenant_id, declared_bytes or 0)
        media_rows.insert_media(
            tx,
            media_id,
            tenant_id,
            route=ROUTE,
            status="pending",
            object_key=key,
            content_type=content_type,
            size_bytes=declared_bytes or None,
            upload_expires_at=time.time() + UPLOAD_SECONDS,
        )
        media_rows.mark_unused(tx, media_id)
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
    """Return an upload of the tenant. Raises Forbidden also for an unknown one: an id must reveal nothing."""
    media = media_rows.get_media(box.db, tenant_id, ROUTE, media_id)
    if media is None:
        raise Forbidden("Cannot access uploaded file")
    return media


def delete_unused(box: Box) -> None:
    """Delete uploads that no transcript has used for ``unused_upload_days``."""
    days = box.settings.unused_upload_days
    for media in media_rows.list_unused(box.db, days, SWEEP_BATCH):
        with box.db.transaction() as tx:
            current = media_rows.find_media(tx, media.id)
            if current and current.unused_since is not None:  # a transcript may have been requested meanwhile
                delete_media(tx, media.tenant_id, media.id)
