"""Detection again, kept: in a file at once from its kept scores, or by the worker, for a job or with the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from appliance.engine.scoring.events import Detection, DetectionConfig
from appliance.errors import NotReady, NotUploaded, ScoresNotKept, SubjectGone, UnexpectedStatus
from appliance.services import quotas
from appliance.services.box import Box
from appliance.services.inference.files import find_file
from appliance.services.inference.jobs import find_settings
from appliance.services.inference.kept_scores import ScoreShelf, changed_choices, in_effect, preview
from appliance.services.inference.reviews import reviews_changed
from appliance.services.inference.work import InferenceTask
from appliance.services.kind import Kind
from appliance.state import inference_files, inference_jobs, redetections
from appliance.state import work as queue
from appliance.state.database import Transaction
from appliance.state.inference_files import FileDetection, InferenceFile
from appliance.state.redetections import Redetection
from appliance.state.work import Work
from appliance.storage.objects import ObjectInfo

REDETECT = Kind("redetect", fail=redetections.mark_failed)


@dataclass(frozen=True)
class RedetectionTask:
    """A request in progress, and what its file would be analyzed with."""

    request: Redetection
    inference: InferenceTask


def redetect_file(
    box: Box, shelf: ScoreShelf, tenant_id: int, job_id: str, file_id: str, changes: dict[str, Any], *, with_model: bool
) -> bool:
    """Detect again with changed settings, as ``preview`` takes them, and keep the result.

    Returns whether that is done. With the model it is queued. Raises NotFound, NotReady, ScoresNotKept, NotUploaded if
    the original is no longer stored, QuotaExceeded, StorageFull.
    """
    settings = find_settings(box, tenant_id, job_id)
    if with_model:
        with box.db.transaction() as tx:
            file = find_file(box, job_id, file_id)
            _require_original(file)
            quotas.check_work(box, tx, tenant_id)
            _request(tx, tenant_id, file, changed_choices(settings, file, changes), with_model=True)
        return False
    result = preview(box, shelf, tenant_id, job_id, file_id, changes)
    choices = changed_choices(settings, result.file, changes)
    with box.db.transaction() as tx:
        redetections.finish(tx, file_id)
        queue.forget(tx, file_id)
        _replace(box, tx, result.file, choices, result.detections, truncated=result.truncated)
    return True


def redetect_job(box: Box, tenant_id: int, job_id: str, changes: dict[str, Any], *, with_model: bool) -> int:
    """Queue all completed files of a job for detection with changed settings, which are the job's from now on.

    Returns how many. Raises NotFound, NotReady if files are in work, ScoresNotKept, NotUploaded, QuotaExceeded.
    """
    settings = find_settings(box, tenant_id, job_id)
    choices = changed_choices(settings, None, changes)
    config = in_effect(box, settings, choices)
    with box.db.transaction() as tx:
        find_settings(box, tenant_id, job_id)
        if inference_files.count_status(tx, job_id, "queued", "processing"):
            raise NotReady("Files of the job are in work. Try again when they have ended.")
        files = inference_files.list_files(tx, job_id, status="completed")
        _check_files(job_id, files, with_model=with_model)
        if with_model:
            quotas.check_work(box, tx, tenant_id, len(files))
        inference_files.pin_config(tx, job_id, settings.config, settings.client_config)
        inference_jobs.set_config(tx, job_id, config, choices)
        for file in files:
            _request(tx, tenant_id, file, choices, with_model=with_model)
    return len(files)


def load_task(box: Box, work: Work) -> RedetectionTask:
    """Return what the work is about. Raises SubjectGone."""
    request = redetections.get(box.db, work.subject_id)
    file = inference_files.find_file(box.db, work.subject_id)
    settings = inference_jobs.get_settings(box.db, file.job_id) if file else None
    if request is None or file is None or settings is None:
        raise SubjectGone(f"The request to detect again in {work.subject_id} is gone.")
    config = DetectionConfig(**request.choices)
    return RedetectionTask(request, InferenceTask(file, settings.tenant_id, settings.model, config))


def complete(
    box: Box,
    work: Work,
    task: RedetectionTask,
    detections: Sequence[Detection],
    *,
    truncated: bool,
    scores: ObjectInfo | None = None,
) -> None:
    """Keep the detections, and new scores if the model made them. If a newer request came, that is done next.

    If this raises LeaseLost or UnexpectedStatus, nothing is written.
    """
    file = task.inference.file
    with box.db.transaction() as tx:
        if redetections.finish(tx, file.id, task.request.number):
            queue.finish(tx, work)
        else:
            queue.release(tx, work, attempts=0, delay_seconds=0.0)
        if scores:
            inference_files.set_scores(tx, file.id, scores.etag, scores.size_bytes)
        _replace(box, tx, file, task.request.choices, detections, truncated=truncated)


def _replace(
    box: Box,
    tx: Transaction,
    file: InferenceFile,
    choices: dict[str, Any],
    detections: Sequence[Detection],
    *,
    truncated: bool,
) -> None:
    settings = inference_jobs.get_settings(tx, file.job_id)
    rows = [FileDetection(**asdict(detection)) for detection in detections]
    if settings is None or not inference_files.replace_detections(
        tx, file.id, rows, truncated=truncated, config=in_effect(box, settings, choices), client_config=choices
    ):
        raise UnexpectedStatus(f"The file {file.id} is not completed.")
    reviews_changed(tx, file)


def _request(
    tx: Transaction, tenant_id: int, file: InferenceFile, choices: dict[str, Any], *, with_model: bool
) -> None:
    redetections.request(tx, file.id, choices, with_model=with_model)
    REDETECT.enqueue(tx, tenant_id, file.job_id, file.id)


def _require_original(file: InferenceFile) -> None:
    if file.status != "completed":
        raise NotReady(f"The file is {file.status}; only a completed one can be analyzed again.")
    if file.original_removed_at is not None:
        raise NotUploaded(f"The recording {file.id} is no longer stored, so it cannot be analyzed again.")


def _check_files(job_id: str, files: Sequence[InferenceFile], *, with_model: bool) -> None:
    if with_model:
        for file in files:
            _require_original(file)
        return
    missing = sum(file.scores_etag is None for file in files)
    if missing:
        raise ScoresNotKept(
            f"The scores of {missing} of {len(files)} files are not kept, or no longer. POST "
            f'/api/v1/inference-jobs/{job_id}/redetect with {{"with_model": true}} analyzes all files again.'
        )
