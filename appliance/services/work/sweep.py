"""What time alone brings about: forms that expire unused, leases that run out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from appliance.errors import NotUploaded, SizeMismatch
from appliance.services import uploads
from appliance.services.box import Box
from appliance.services.datasets import audio as dataset_audio
from appliance.services.inference import files as inference_files
from appliance.services.inference.endings import fail_file
from appliance.services.speech import presigned, spool
from appliance.services.uploads import Stored
from appliance.services.webhooks import events as webhooks
from appliance.services.work.leases import requeue_lost
from appliance.state import audio, work
from appliance.state import inference_files as inference_file_rows
from appliance.state.database import Database
from appliance.storage.objects import ObjectInfo

BATCH = 100
F = TypeVar("F", bound=Stored)


def sweep(box: Box) -> None:
    """Settle overdue uploads and free work whose lease ran out."""
    with box.db.transaction():
        requeue_lost(box, work.release_expired(box.db))
    webhooks.forget_old(box)
    spool.sweep(box)
    presigned.settle_pending(box)
    grace_seconds = box.settings.upload_grace_seconds
    for file in inference_file_rows.list_overdue(box.db, grace_seconds, BATCH):
        _settle(box, file, inference_files.accept, fail_file)
    for recording in audio.list_overdue(box.db, grace_seconds, BATCH):
        _settle(box, recording, dataset_audio.accept, audio.mark_failed)


def _settle(
    box: Box,
    file: F,
    accept: Callable[[Box, F, ObjectInfo], None],
    mark_failed: Callable[[Database, str, str, str, str], bool],
) -> None:
    """Accept a file that was uploaded and never confirmed; fail one that never came, so that polling loops end."""
    try:
        accept(box, file, uploads.arrived(box, file))
    except NotUploaded as error:
        with box.db.transaction():
            mark_failed(box.db, file.id, "pending", error.code, "The file was never uploaded.")
    except SizeMismatch as error:
        with box.db.transaction():
            mark_failed(box.db, file.id, "pending", error.code, str(error))
