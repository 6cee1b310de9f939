"""The work on a file of an inference job: copy its upload if that is large, then analyze it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import BinaryIO

import structlog

from appliance.engine.scoring.events import Detection, DetectionConfig, strongest
from appliance.errors import QuotaExceeded, StorageFull, SubjectGone, UnexpectedStatus
from appliance.services import quotas, uploads
from appliance.services.box import Box
from appliance.services.inference.endings import fail_file, file_ended, lose_file
from appliance.services.inference.verdicts import judge
from appliance.services.kind import Kind
from appliance.services.uploads import KeptObject
from appliance.state import inference_files, inference_jobs
from appliance.state import work as queue
from appliance.state.database import Transaction
from appliance.state.inference_files import FileDetection, InferenceFile
from appliance.state.work import Work
from appliance.storage.objects import ObjectInfo

log = structlog.get_logger()

MAX_DETECTIONS = 10_000  # of one file; writing them holds the database's lock for about a tenth of a second

INFERENCE = Kind(
    "inference",
    start=inference_files.mark_processing,
    release=inference_files.mark_released,
    fail=lambda tx, file_id, code, message: fail_file(tx, file_id, "processing", code, message),
)

# Each file is a group of its own: the original of a file is kept also if its job is cancelled.
COPY_FILE = Kind("copy_file", fail=lose_file, pool="storage")


@dataclass(frozen=True)
class InferenceTask:
    """A file in progress, the model that scores it, and how its scores become detections."""

    file: InferenceFile
    tenant_id: int
    model: str
    config: DetectionConfig


def enqueue(tx: Transaction, tenant_id: int, job_id: str, file_id: str, kept: KeptObject) -> None:
    """Queue the analysis of a confirmed file, or its copy if it awaits that."""
    if kept.awaits_copy:
        COPY_FILE.enqueue(tx, tenant_id, file_id, file_id)
    else:
        INFERENCE.enqueue(tx, tenant_id, job_id, file_id)


def copy(box: Box, work: Work) -> None:
    """Copy a confirmed upload and queue its analysis. Raises LeaseLost, ObjectChanged, ObjectMissing, ObjectDamaged."""
    file = inference_files.find_file(box.db, work.subject_id)
    if file is None or not file.awaits_copy:  # deleted with its job, or given up by retention
        with box.db.transaction() as tx:
            queue.finish(tx, work)
        return

    def mark(tx: Transaction, kept: KeptObject) -> bool:
        queue.finish(tx, work)
        status = inference_files.mark_copied(tx, file.id, kept.key, kept.etag)
        if status == "queued":
            enqueue(tx, inference_jobs.tenant_of(tx, file.job_id), file.job_id, file.id, kept)
        return status is not None

    uploads.copy_confirmed(box, file, mark)


def load_task(box: Box, work: Work) -> InferenceTask:
    """Return what the work is about. Raises SubjectGone."""
    file = inference_files.find_file(box.db, work.subject_id)
    settings = inference_jobs.get_settings(box.db, file.job_id) if file else None
    if file is None or settings is None:
        raise SubjectGone(f"The file {work.subject_id} was deleted.")
    return InferenceTask(file, settings.tenant_id, settings.model, DetectionConfig(**settings.client_config))


def keep_scores(box: Box, file: InferenceFile, archive: BinaryIO) -> ObjectInfo | None:
    """Store the scores of a file. Returns None if there is no room for them: the detections matter more."""
    size_bytes = archive.seek(0, io.SEEK_END)
    archive.seek(0)
    try:
        quotas.check_bytes(box, box.db, inference_jobs.tenant_of(box.db, file.job_id), size_bytes)
        return box.objects.put(file.scores_key, archive, size_bytes=size_bytes, content_type="application/zip")
    except (QuotaExceeded, StorageFull) as error:
        log.warning("scores not kept", file=file.id, error=str(error))
        return None


def discard_scores(box: Box, file: InferenceFile) -> None:
    """Delete the scores that were just stored if the file was deleted meanwhile."""
    if inference_files.find_file(box.db, file.id) is None:
        box.objects.delete(file.scores_key)


def complete(
    box: Box, work: Work, duration_ms: int, detections: Sequence[Detection], scores: ObjectInfo | None = None
) -> None:
    """Complete the file with its detections, the strongest if there are more than MAX_DETECTIONS, and its scores.

    ``scores`` is None if they are not kept. If this raises LeaseLost or UnexpectedStatus, nothing is written.
    """
    rows = [FileDetection(**asdict(detection)) for detection in strongest(detections, MAX_DETECTIONS)]

    def write(tx: Transaction) -> None:
        queue.finish(tx, work)
        truncated = len(rows) < len(detections)
        if not inference_files.mark_completed(tx, work.subject_id, duration_ms, rows, truncated=truncated):
            raise UnexpectedStatus(f"The file {work.subject_id} is not in processing.")
        if scores:
            inference_files.set_scores(tx, work.subject_id, scores.etag, scores.size_bytes)
        judge(tx, work.subject_id, announced=False)
        file_ended(tx, work.subject_id)

    box.db.together.write(write)
