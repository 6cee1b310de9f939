"""Audio of a dataset: request an upload, confirm it, read, download, delete."""

from __future__ import annotations

import uuid
from pathlib import PurePath

from appliance.engine.decode.decoder import Clip
from appliance.errors import Conflict, NotFound, NotReady, NotUploaded
from appliance.services import audit, quotas, uploads
from appliance.services.box import Box
from appliance.services.clip_files import decode_clip
from appliance.services.datasets import work as dataset_work
from appliance.services.datasets.datasets import find_dataset
from appliance.services.paging import split_page
from appliance.services.purge import enqueue_purge
from appliance.services.uploads import KeptObject, Upload
from appliance.services.viewers import StoredRecording, Viewers
from appliance.state import audio as audio_rows
from appliance.state.audio import Audio
from appliance.state.database import Transaction
from appliance.state.datasets import tenant_of
from appliance.storage.objects import ObjectInfo


def request_upload(
    box: Box,
    tenant_id: int,
    dataset_id: str,
    *,
    filename: str,
    content_type: str,
    size_bytes: int,
    origin: str,
    group_name: str | None = None,
) -> Upload:
    """Create pending audio and return the form that uploads it to ``origin``, as the client reaches it.

    Raises NotFound, UnsupportedContentType, InvalidRequest, FileTooLarge, QuotaExceeded, StorageFull.
    """
    declaration = uploads.declare(box, filename, content_type, size_bytes, "file_size")
    find_dataset(box, tenant_id, dataset_id)
    quotas.check_upload(box, box.db, tenant_id, declaration.size_bytes)
    audio_id = str(uuid.uuid4())
    key = f"tenant-{tenant_id}/dataset-{dataset_id}/{audio_id}/original"
    upload_key = uploads.upload_key_of(tenant_id, audio_id)
    upload = uploads.make_upload(box, audio_id, upload_key, declaration, origin)
    with box.db.transaction() as tx:
        find_dataset(box, tenant_id, dataset_id)
        quotas.check_upload(box, tx, tenant_id, declaration.size_bytes)  # again: now nothing else can be added
        audio_rows.insert_audio(
            tx,
            audio_id,
            dataset_id,
            original_filename=declaration.filename,
            content_type=declaration.content_type,
            declared_size_bytes=declaration.size_bytes,
            object_key=key,
            upload_key=upload_key,
            upload_expires_at=upload.expires_at,
            group_name=group_name,
        )
    return upload


def set_group(box: Box, tenant_id: int, dataset_id: str, audio_id: str, group_name: str | None) -> Audio:
    """Put audio into a group, or in none. Raises NotFound."""
    with box.db.transaction() as tx:
        find_audio(box, tenant_id, dataset_id, audio_id)
        audio_rows.set_group(tx, audio_id, group_name)
    return find_audio(box, tenant_id, dataset_id, audio_id)


def confirm_upload(box: Box, tenant_id: int, dataset_id: str, audio_id: str) -> None:
    """Start the processing of uploaded audio. Audio that was confirmed before stays as it is, unless it failed.

    Raises NotFound, NotUploaded, SizeMismatch, and Conflict with the audio's own error if it failed.
    """
    recording = find_audio(box, tenant_id, dataset_id, audio_id)
    if recording.status == "pending" or uploads.is_late(recording.error_code):
        try:
            accept(box, recording, uploads.uploaded_object(box, recording))
        except NotUploaded:
            if find_audio(box, tenant_id, dataset_id, audio_id).status == recording.status:
                raise  # otherwise another call accepted it at this moment, and the upload is deleted
    elif recording.status == "failed":
        raise Conflict(f"The audio failed: {recording.error_message}")


def accept(box: Box, recording: Audio, info: ObjectInfo) -> None:
    """Queue the work on uploaded audio. Does nothing if it was accepted meanwhile."""

    def mark(tx: Transaction, kept: KeptObject) -> bool:
        accepted = audio_rows.mark_normalizing(
            tx, recording.id, recording.status, kept.key, kept.etag, awaits_copy=kept.awaits_copy
        )
        if accepted:
            tenant_id = tenant_of(tx, recording.dataset_id)
            dataset_work.enqueue(tx, tenant_id, recording.dataset_id, recording.id, kept)
        return accepted

    uploads.accept(box, recording, info, mark)


def find_audio(box: Box, tenant_id: int, dataset_id: str, audio_id: str) -> Audio:
    """Return the audio of the tenant's dataset. Raises NotFound."""
    find_dataset(box, tenant_id, dataset_id)
    recording = audio_rows.get_audio(box.db, dataset_id, audio_id)
    if recording is None:
        raise NotFound("There is no such audio in this dataset.")
    return recording


def list_audio(
    box: Box, tenant_id: int, dataset_id: str, *, status: str | None, before: int | None, limit: int, offset: int = 0
) -> tuple[list[Audio], int | None]:
    """Return a page of audio, newest first, and the sequence before which the next page starts. Raises NotFound."""
    find_dataset(box, tenant_id, dataset_id)
    rows = audio_rows.list_audio(box.db, dataset_id, status=status, before=before, limit=limit + 1, offset=offset)
    return split_page(rows, limit)


def count_audio(box: Box, tenant_id: int, dataset_id: str, status: str | None) -> int:
    """Return the number of recordings in a dataset. Raises NotFound."""
    find_dataset(box, tenant_id, dataset_id)
    return audio_rows.count_audio(box.db, dataset_id, status)


def download_url(
    box: Box, tenant_id: int, dataset_id: str, audio_id: str, *, normalized: bool, origin: str
) -> tuple[str, int]:
    """Return a URL of the original, or of the normalized file, and how many seconds the URL is valid.

    Raises NotFound, NotUploaded, and NotReady if the original awaits its copy, or the audio is not normalized.
    """
    recording = find_audio(box, tenant_id, dataset_id, audio_id)
    if not normalized:
        return uploads.download_url(box, recording, origin)
    _require_normalized(recording)
    name = f"{PurePath(recording.original_filename).stem or recording.id}.wav"
    return uploads.presign(box, recording.normalized_key, name, "audio/wav", origin)


def clip(
    box: Box, viewers: Viewers, tenant_id: int, dataset_id: str, audio_id: str, start_ms: int, end_ms: int
) -> Clip:
    """Return a stretch of the normalized recording, 16 kHz and mono; it ends where the recording ends.

    Raises NotFound, NotReady if the audio is not normalized, and what ``decode_clip`` raises.
    """
    recording = find_audio(box, tenant_id, dataset_id, audio_id)
    _require_normalized(recording)
    key = recording.normalized_key
    info = box.objects.stat(key)
    return decode_clip(viewers, tenant_id, StoredRecording(box, key, info.etag, info.size_bytes), start_ms, end_ms)


def _require_normalized(recording: Audio) -> None:
    if recording.duration_ms is None:
        raise NotReady("The audio is not normalized; see processing_status and processing_error.")


def delete_audio(box: Box, tenant_id: int, dataset_id: str, audio_id: str) -> None:
    """Remove audio with everything derived from it; processing in progress stops. Raises NotFound.

    The objects are deleted at once, and once more by the worker: processing that is stopped may have stored one since.
    """
    with box.db.transaction() as tx:
        recording = find_audio(box, tenant_id, dataset_id, audio_id)
        audio_rows.delete_audio(tx, audio_id)
        audit.note(tx, "recording deleted", f"{audio_id} of the dataset {dataset_id}")
        enqueue_purge(tx, tenant_id, recording.folder)
    for key in recording.object_keys:
        box.objects.delete(key)
