"""What time alone brings about: forms that expire unused, leases that run out."""

from __future__ import annotations

from appliance.errors import NotUploaded, ObjectMissing, SizeMismatch
from appliance.services.box import Box
from appliance.services.inference_files import check_stored, enqueue
from appliance.services.processing import requeue_lost
from appliance.state import files, work
from appliance.state.files import InferenceFile

BATCH = 100


def sweep(box: Box) -> None:
    """Settle overdue uploads and free work whose lease ran out."""
    with box.db.transaction():
        requeue_lost(box, work.release_expired(box.db))
    for file in files.list_overdue(box.db, box.settings.upload_grace_seconds, BATCH):
        _settle(box, file)


def _settle(box: Box, file: InferenceFile) -> None:
    """Queue a file that was uploaded and never confirmed; fail one that never came, so that polling loops end."""
    try:
        stored = box.objects.stat(file.object_key)
        check_stored(file, stored)
    except ObjectMissing:
        with box.db.transaction():
            files.mark_failed(box.db, file.id, "pending", NotUploaded.code, "The file was never uploaded.")
    except SizeMismatch as error:
        with box.db.transaction():
            files.mark_failed(box.db, file.id, "pending", error.code, str(error))
    else:
        with box.db.transaction():
            enqueue(box, file, stored)
