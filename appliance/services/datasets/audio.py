"""Audio of a dataset: ask for an upload, confirm it, look at it, download it, delete it."""

from __future__ import annotations

import uuid
from pathlib import PurePath

from appliance.errors import Conflict, NotFound, NotReady, NotUploaded
from appliance.services import uploads
from appliance.services.box import Box
from appliance.services.datasets.datasets import find_dataset
from appliance.services.uploads import Upload
from appliance.state import audio, work
from appliance.state.audio import Audio
from appliance.storage.objects import ObjectInfo


def request_upload(
    box: Box, tenant_id: int, dataset_id: str, *, filename: str, content_type: str, size_bytes: int, origin: str
) -> Upload:
    """Make pending audio and the form that uploads it to ``origin``, as the client reaches it.

    Raises NotFound, UnsupportedContentType, InvalidRequest, FileTooLarge.
    """
    declared = uploads.declare(box, filename, content_type, size_bytes, "file_size")
    find_dataset(box, tenant_id, dataset_id)
    audio_id = str(uuid.uuid4())
    key = f"tenant-{tenant_id}/dataset-{dataset_id}/{audio_id}/original"
    upload = uploads.make_upload(box, audio_id, key, declared, origin)
    with box.db.transaction():
        find_dataset(box, tenant_id, dataset_id)
        audio.insert_audio(
            box.db,
            audio_id,
            dataset_id,
            original_filename=declared.filename,
            content_type=declared.content_type,
            declared_size_bytes=declared.size_bytes,
            object_key=key,
            upload_expires_at=upload.expires_at,
        )
    return upload


def confirm_upload(box: Box, tenant_id: int, dataset_id: str, audio_id: str) -> None:
    """Begin to process uploaded audio; audio that was confirmed before stays as it is.

    Raises NotFound, NotUploaded, SizeMismatch, and Conflict where the upload came too late.
    """
    recording = find_audio(box, tenant_id, dataset_id, audio_id)
    if recording.error_code == NotUploaded.code:
        raise Conflict("The upload form expired unused; ask for a new one.")
    if recording.status == "pending":
        accept(box, recording, uploads.arrived(box, recording))


def accept(box: Box, recording: Audio, stored: ObjectInfo) -> None:
    """pending → normalizing, with the work that it causes; nothing where it left pending meanwhile."""
    with box.db.transaction():
        if audio.mark_normalizing(box.db, recording.id, stored.etag):
            work.enqueue(box.db, "normalize", recording.id, recording.dataset_id)


def find_audio(box: Box, tenant_id: int, dataset_id: str, audio_id: str) -> Audio:
    """The audio of the tenant's dataset. Raises NotFound."""
    find_dataset(box, tenant_id, dataset_id)
    recording = audio.get_audio(box.db, dataset_id, audio_id)
    if recording is None:
        raise NotFound("There is no such audio in this dataset.")
    return recording


def list_audio(
    box: Box, tenant_id: int, dataset_id: str, *, status: str | None, before: int | None, limit: int
) -> tuple[list[Audio], int | None]:
    """A page of audio, newest first, and the sequence that the next page starts before. Raises NotFound."""
    find_dataset(box, tenant_id, dataset_id)
    page = audio.list_audio(box.db, dataset_id, status=status, before=before, limit=limit + 1)
    return page[:limit], page[limit - 1].sequence if len(page) > limit else None


def download_url(
    box: Box, tenant_id: int, dataset_id: str, audio_id: str, *, normalized: bool, origin: str
) -> tuple[str, int]:
    """A URL of the original, or of the normalised file, and how many seconds it is valid.

    Raises NotFound, NotUploaded, and NotReady where it is not normalised.
    """
    recording = find_audio(box, tenant_id, dataset_id, audio_id)
    if not normalized:
        return uploads.download_url(box, recording, origin)
    if recording.duration_ms is None:
        raise NotReady("The audio is not normalised; see processing_status and processing_error.")
    name = f"{PurePath(recording.original_filename).stem or recording.id}.wav"
    return uploads.presign(box, recording.normalized_key, name, "audio/wav", origin)


def delete_audio(box: Box, tenant_id: int, dataset_id: str, audio_id: str) -> None:
    """Remove audio with all that was made of it; a step that runs stops. Raises NotFound.

    The objects go at once, and once more by the worker: a step that is stopped may have stored one meanwhile.
    """
    with box.db.transaction():
        recording = find_audio(box, tenant_id, dataset_id, audio_id)
        audio.delete_audio(box.db, audio_id)
        work.enqueue(box.db, "purge", recording.folder, dataset_id)
    for key in recording.object_keys:
        box.objects.delete(key)
