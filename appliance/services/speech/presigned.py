"""The presigned route: the client puts a file to a URL, and the transcript begins without a further call.

MinIO posts an event for each upload. The sweep finds uploads whose event was lost; with SeaweedFS and external servers,
which send none, it is the only signal.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import (
    EmptyFile,
    FileTooLarge,
    InvalidRequest,
    NotUploaded,
    ObjectMissing,
    QuotaExceeded,
    StorageUnavailable,
)
from appliance.services import audit, quotas, uploads
from appliance.services.box import Box
from appliance.services.content_types import canonical_content_type
from appliance.services.damage import damage_of, going_on
from appliance.services.models import resolve
from appliance.services.speech import transcripts
from appliance.services.speech.media import delete_media, fail_media, media_stored, object_key_of
from appliance.services.speech.outcome import camel_case, outcome, status_answer
from appliance.services.uploads import KeptObject
from appliance.services.webhooks.reports import newest_reports
from appliance.services.webhooks.urls import check_callback
from appliance.state import media as media_rows
from appliance.state.database import Transaction
from appliance.state.media import Media
from appliance.state.moves import Route
from appliance.storage.objects import ObjectInfo

ROUTE: Route = "presigned"
EVENT_SECONDS = 5.0  # for so long the sweep leaves an upload to its event


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
    content_type_field: str = "contentType",
    callback_url: str | None,
    model_id: str | None,
    config: DetectionConfig | None,
    origin: str,
) -> PresignedPut:
    """Return a URL at ``origin`` for a file, and a transcript that waits for it.

    ``content_type_field`` is the name of the type in the client's request. Raises InvalidRequest naming the field,
    QuotaExceeded, StorageFull.
    """
    content_type = canonical_content_type(content_type, content_type_field)
    check_callback(box, callback_url, "callbackUrl")
    model = transcripts.resolve_model(
        box, tenant_id, model_id or box.settings.transcription_model, "modelId", ("transcription", "detection")
    )
    media_id, expires_seconds = str(uuid.uuid4()), box.settings.upload_expires_seconds
    key = object_key_of(tenant_id, media_id)
    upload_key = uploads.upload_key_of(tenant_id, media_id)
    quotas.check_upload(box, box.db, tenant_id)
    url = box.objects.upload_url(upload_key, origin=origin, expires_seconds=expires_seconds)
    options = _options(box, tenant_id, model, config)
    with box.db.transaction() as tx:
        quotas.check_upload(box, tx, tenant_id)
        media_rows.insert_media(
            tx,
            media_id,
            tenant_id,
            route=ROUTE,
            status="pending",
            object_key=key,
            upload_key=upload_key,
            original_filename=filename,
            content_type=content_type,
            upload_expires_at=time.time() + expires_seconds,
        )
        media = media_rows.find_media(tx, media_id)
        assert media is not None
        transcript_id = transcripts.create_transcript(
            tx, media, model=model, options=options, callback_url=callback_url
        )
    return PresignedPut(url, transcript_id, expires_seconds)


def report(box: Box, tenant_id: int, transcript_id: str) -> dict[str, Any]:
    """Return the progress of a transcript and its result as JSON values. Raises NotFound."""
    transcript = transcripts.find_transcript(box, tenant_id, ROUTE, transcript_id)
    media = media_rows.find_media(box.db, transcript.media_id)
    assert media is not None
    callback = newest_reports(box, [transcript.id]).get(transcript.id)
    return outcome(transcript, media) | {"callback": callback and camel_case(callback)}


def status_of(box: Box, tenant_id: int, transcript_id: str) -> dict[str, Any]:
    """Return a transcript as JSON with the field names of the hosted service. Raises NotFound."""
    return status_answer(transcripts.find_transcript(box, tenant_id, ROUTE, transcript_id))


def delete(box: Box, tenant_id: int, transcript_id: str) -> None:
    """Delete a transcript with its file, which may not have arrived yet. Raises NotFound."""
    transcript = transcripts.find_transcript(box, tenant_id, ROUTE, transcript_id)
    with box.db.transaction() as tx:
        delete_media(tx, tenant_id, transcript.media_id)
        audit.note(tx, "transcript deleted", transcript_id)


def key_arrived(box: Box, key: str) -> None:
    """Take note of an object that storage reports. It may report one twice, or one of another route."""
    media = media_rows.find_by_upload_key(box.db, key)
    if media and media.status == "pending":
        settle(box, media)


def settle_pending(box: Box) -> None:
    """Look in storage for all pending media, and fail what was not uploaded in time."""
    for media in media_rows.list_pending(box.db, EVENT_SECONDS):
        with going_on(box, media.id):
            _settle_pending(box, media)


def _settle_pending(box: Box, media: Media) -> None:
    """Settle an upload, or fail it if it is overdue or cannot be read."""
    expires_at = media.upload_expires_at or 0.0
    try:
        if not settle(box, media) and expires_at < time.time() - box.settings.upload_grace_seconds:
            with box.db.transaction() as tx:
                fail_media(tx, media.id, "pending", NotUploaded.code, "The file was never uploaded.")
    except StorageUnavailable as error:
        damage = damage_of(box, media.upload_key or media.object_key, error, expires_at)
        with box.db.transaction() as tx:
            fail_media(tx, media.id, "pending", damage.code, str(damage))


def settle(box: Box, media: Media) -> bool:
    """Accept or fail pending media if it is in storage. Returns False if it is not there."""
    try:
        info = box.objects.stat(media.upload_key or media.object_key)
    except ObjectMissing:
        return False
    limit = box.settings.max_upload_bytes
    if 0 < info.size_bytes <= limit:
        try:
            quotas.check_arrived(box, box.db, media.tenant_id, info.size_bytes)
            return _accept(box, media, info)
        except QuotaExceeded as error:
            with box.db.transaction() as tx:
                fail_media(tx, media.id, "pending", error.code, str(error))
            return True
    with box.db.transaction() as tx:  # the sweep deletes the upload
        if info.size_bytes == 0:
            fail_media(tx, media.id, "pending", EmptyFile.code, "The file has no bytes.")
        else:
            message = f"The file has {info.size_bytes} bytes, over the limit of {limit}."
            fail_media(tx, media.id, "pending", FileTooLarge.code, message)
    return True


def _accept(box: Box, media: Media, info: ObjectInfo) -> bool:
    def mark(tx: Transaction, kept: KeptObject) -> bool:
        return media_stored(tx, media.id, "pending", info.size_bytes, kept.etag, kept.key)

    try:
        uploads.accept_copy(box, media, info, mark)  # no client waits for it
    except NotUploaded:  # replaced while it was copied: there is a new event for the new bytes
        return False
    return True


def _options(box: Box, tenant_id: int, model: str, config: DetectionConfig | None) -> dict[str, Any]:
    options = {name: value for name, value in asdict(config).items() if value is not None} if config else {}
    if options and resolve(box, tenant_id, model).manifest.task != "detection":
        raise InvalidRequest(f"config: {model} is for transcription, which has no configuration.")
    return options
