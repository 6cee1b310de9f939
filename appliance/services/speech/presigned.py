"""The door of presigned PUTs: the client puts the bytes and says nothing more.

Storage's event tells of what arrived. A sweep finds what an event missed, and is all there is where storage tells of
nothing.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import EmptyFile, FileTooLarge, InvalidRequest, NotUploaded, ObjectMissing
from appliance.services.box import Box
from appliance.services.content_types import canonical_content_type
from appliance.services.speech import transcripts
from appliance.services.speech.outcome import outcome
from appliance.services.speech.raw import folder_of
from appliance.services.webhooks.urls import check_callback
from appliance.state import media, work
from appliance.state.media import Media

PATIENCE_SECONDS = 5.0  # how long the sweep leaves an upload to its event


@dataclass(frozen=True)
class PresignedPut:
    """A URL that takes one file by PUT, and the transcript that then begins."""

    url: str
    transcript_id: str
    expires_seconds: int


def request_url(
    box: Box,
    tenant_id: int,
    *,
    filename: str,
    content_type: str,
    callback_url: str | None,
    model_id: str | None,
    config: DetectionConfig | None,
    origin: str,
) -> PresignedPut:
    """A URL at ``origin`` for a file, and a transcript that waits for it. Raises InvalidRequest naming the field."""
    content_type = canonical_content_type(content_type, "contentType")
    check_callback(box, callback_url, "callbackUrl")
    model = transcripts.resolve_model(
        box, model_id or box.settings.transcription_model, "modelId", ("transcription", "detection")
    )
    media_id, expires_seconds = str(uuid.uuid4()), box.settings.upload_expires_seconds
    key = f"{folder_of(tenant_id, media_id)}/original"
    url = box.objects.upload_url(key, origin=origin, expires_seconds=expires_seconds)
    options = _options(box, model, config)
    with box.db.transaction():
        media.insert_media(
            box.db,
            media_id,
            tenant_id,
            status="pending",
            object_key=key,
            original_filename=filename,
            content_type=content_type,
            upload_expires_at=time.time() + expires_seconds,
        )
        source = media.find_media(box.db, media_id)
        assert source is not None
        asked = transcripts.request(box, source, model=model, options=options, callback_url=callback_url)
    return PresignedPut(url, asked, expires_seconds)


def _options(box: Box, model: str, config: DetectionConfig | None) -> dict[str, Any]:
    given = {name: value for name, value in asdict(config).items() if value is not None} if config else {}
    if given and box.models.resolve(model).manifest.task != "detection":
        raise InvalidRequest(f"config: {model} is for transcription, which has nothing to configure.")
    return given


def report(box: Box, tenant_id: int, transcript_id: str) -> dict[str, Any]:
    """How far a transcript is, and its result. Raises NotFound."""
    asked = transcripts.find(box, tenant_id, transcript_id)
    source = media.find_media(box.db, asked.media_id)
    assert source is not None
    return outcome(asked, source)


def key_arrived(box: Box, key: str) -> None:
    """Begin with what storage says has arrived. It may say so twice, or of what came in by another door."""
    found = media.find_by_key(box.db, key)
    if found and found.status == "pending":
        settle(box, found)


def settle_pending(box: Box) -> None:
    """Look in storage for what is awaited; give up what was never uploaded."""
    overdue = time.time() - box.settings.upload_grace_seconds
    for awaited in media.list_pending(box.db, PATIENCE_SECONDS):
        if not settle(box, awaited) and (awaited.upload_expires_at or 0.0) < overdue:
            with box.db.transaction():
                message = "The file was never uploaded."
                transcripts.media_failed(box, awaited.id, "pending", NotUploaded.code, message)


def settle(box: Box, awaited: Media) -> bool:
    """Begin with media that is in storage, or refuse it; False where it is not there."""
    try:
        stored = box.objects.stat(awaited.object_key)
    except ObjectMissing:
        return False
    limit = box.settings.max_upload_bytes
    with box.db.transaction():
        if stored.size_bytes == 0:
            transcripts.media_failed(box, awaited.id, "pending", EmptyFile.code, "The file has no bytes.")
        elif stored.size_bytes > limit:
            message = f"The file has {stored.size_bytes} bytes, over the limit of {limit}."
            transcripts.media_failed(box, awaited.id, "pending", FileTooLarge.code, message)
            folder = folder_of(awaited.tenant_id, awaited.id)
            work.enqueue(box.db, "purge", folder, folder)
        else:
            transcripts.media_stored(box, awaited.id, "pending", stored.size_bytes, stored.etag)
    return True
