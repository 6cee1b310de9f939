"""The work on a file of an inference job."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import BinaryIO

import structlog

from appliance.engine.scoring.events import Detection, DetectionConfig, strongest
from appliance.errors import QuotaExceeded, StorageFull, SubjectGone, UnexpectedStatus
from appliance.services import quotas
from appliance.services.box import Box
from appliance.services.inference.endings import fail_file, file_ended
from appliance.services.kind import Kind
from appliance.state import inference_files, inference_jobs
from appliance.state import work as queue
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


@dataclass(frozen=True)
class InferenceTask:
    """A file in progress, the model that scores it, and how its scores become detections."""

    file: InferenceFile
    model: str
    config: DetectionConfig


def load_task(box: Box, work: Work) -> InferenceTask:
    """Return what the work is about. Raises SubjectGone."""
    file = inference_files.find_file(box.db, work.subject_id)
    settings = inference_jobs.get_settings(box.db, file.job_id) if file else None
    if file is None or settings is None:
        raise SubjectGone(f"The file {work.subject_id} was deleted.")
    return InferenceTask(file, settings.model, DetectionConfig(**settings.client_config))


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
    with box.db.transaction() as tx:
        queue.finish(tx, work)
        truncated = len(rows) < len(detections)
        if not inference_files.mark_completed(tx, work.subject_id, duration_ms, rows, truncated=truncated):
            raise UnexpectedStatus(f"The file {work.subject_id} is not in processing.")
        if scores:
            inference_files.set_scores(tx, work.subject_id, scores.etag, scores.size_bytes)
        file_ended(tx, work.subject_id)
