"""What happens by time alone: upload forms expire unused, leases run out, old deliveries are removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from appliance.errors import NotUploaded, SizeMismatch
from appliance.services import uploads
from appliance.services.box import Box
from appliance.services.datasets import audio as dataset_audio
from appliance.services.inference import files as inference_files
from appliance.services.inference.endings import fail_file
from appliance.services.speech import presigned, spool
from appliance.services.uploads import UploadRow
from appliance.services.webhooks import events as webhooks
from appliance.services.work.leases import release_lost
from appliance.state import audio as audio_rows
from appliance.state import inference_files as file_rows
from appliance.state import work as queue
from appliance.state.database import Transaction
from appliance.storage.objects import ObjectInfo

BATCH = 100
U = TypeVar("U", bound=UploadRow)


def sweep(box: Box) -> None:
    """Settle overdue uploads and free the work whose lease ran out."""
    with box.db.transaction() as tx:
        release_lost(box, tx, queue.release_expired(tx))
    webhooks.delete_old(box)
    spool.sweep(box)
    presigned.settle_pending(box)
    grace_seconds = box.settings.upload_grace_seconds
    for file in file_rows.list_overdue(box.db, grace_seconds, BATCH):
        _settle(box, file, inference_files.accept, fail_file)
    for recording in audio_rows.list_overdue(box.db, grace_seconds, BATCH):
        _settle(box, recording, dataset_audio.accept, audio_rows.mark_failed)


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
            mark_failed(tx, file.id, "pending", error.code, "The file was never uploaded.")
    except SizeMismatch as error:
        with box.db.transaction() as tx:
            mark_failed(tx, file.id, "pending", error.code, str(error))
