"""What happens by time alone: leases run out, upload forms expire, uploads and results are removed by retention."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeVar

from appliance.errors import NotUploaded, SizeMismatch, StorageUnavailable
from appliance.services import audit, uploads
from appliance.services.box import Box
from appliance.services.damage import damage_of, going_on
from appliance.services.datasets import audio as dataset_audio
from appliance.services.inference import changes, multipart
from appliance.services.inference import files as inference_files
from appliance.services.inference.endings import fail_file
from appliance.services.speech import presigned, raw, spool
from appliance.services.training import work as training
from appliance.services.uploads import UploadRow
from appliance.services.webhooks import events as webhooks
from appliance.services.work import retention
from appliance.services.work.leases import release_lost
from appliance.state import audio as audio_rows
from appliance.state import chores
from appliance.state import inference_files as file_rows
from appliance.state import media as media_rows
from appliance.state import work as queue
from appliance.state.audio import Audio
from appliance.state.database import Transaction
from appliance.state.inference_files import InferenceFile
from appliance.storage.access import UPLOADS
from appliance.storage.objects import ObjectInfo, StoredKey

BATCH = 100
LISTED_UPLOADS = 10_000
U = TypeVar("U", bound=UploadRow)


def sweep(box: Box) -> None:
    """Free the work whose lease ran out, settle expired uploads, and remove what retention no longer keeps."""
    with box.db.transaction() as tx:
        release_lost(box, tx, queue.release_expired(tx))
    webhooks.delete_old(box)
    audit.delete_old(box)
    spool.sweep(box)
    presigned.settle_pending(box)
    raw.delete_unused(box)
    for file in file_rows.list_expired(box.db, BATCH):
        with going_on(box, file.id):
            _settle(box, file, inference_files.accept, fail_file)
    for recording in audio_rows.list_expired(box.db, BATCH):
        with going_on(box, recording.id):
            _settle(box, recording, dataset_audio.accept, audio_rows.mark_failed)
    for stored in box.objects.list(UPLOADS, LISTED_UPLOADS):
        with going_on(box, stored.key):
            _sweep_upload(box, stored)
    multipart.abort_abandoned(box)
    retention.sweep(box)
    changes.forget_old(box)
    training.tidy(box)
    with box.db.transaction() as tx:
        chores.note(tx, "sweep")


def _settle(
    box: Box,
    file: U,
    accept: Callable[[Box, U, ObjectInfo], None],
    mark_failed: Callable[[Transaction, str, Literal["pending"], str, str], bool],
) -> None:
    """Accept a file that was uploaded but never confirmed. Fail one that was not uploaded, so that polling ends."""
    try:
        accept(box, file, uploads.uploaded_object(box, file))
    except NotUploaded as error:
        with box.db.transaction() as tx:
            mark_failed(tx, file.id, "pending", error.code, "The file was not uploaded before its form expired.")
    except SizeMismatch as error:
        with box.db.transaction() as tx:
            mark_failed(tx, file.id, "pending", error.code, str(error))
    except StorageUnavailable as error:
        damage = damage_of(box, file.upload_key or file.object_key, error, file.upload_expires_at)
        with box.db.transaction() as tx:
            mark_failed(tx, file.id, "pending", damage.code, str(damage))


def _sweep_upload(box: Box, stored: StoredKey) -> None:
    """Accept an upload that ended after its form had expired. Delete an upload that nothing waits for."""
    file = file_rows.find_by_upload_key(box.db, stored.key) or audio_rows.find_by_upload_key(box.db, stored.key)
    media = media_rows.find_by_upload_key(box.db, stored.key)
    if any(row and row.status == "pending" for row in (file, media)) or (file and file.awaits_copy):
        return
    if file and file.error_code == NotUploaded.code and _accept_late(box, file):
        return
    kept_seconds = box.settings.upload_grace_seconds if file and uploads.is_late(file.error_code) else 0.0
    if stored.modified_at < time.time() - kept_seconds:
        box.objects.delete(stored.key)


def _accept_late(box: Box, file: InferenceFile | Audio) -> bool:
    try:
        info = uploads.uploaded_object(box, file)
        if isinstance(file, InferenceFile):
            inference_files.accept(box, file, info)
        else:
            dataset_audio.accept(box, file, info)
    except (NotUploaded, SizeMismatch):
        return False
    return True
