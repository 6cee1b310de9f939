"""The work on a file, as the worker asks for it: claim, keep, complete, fail, try again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from appliance.engine.events import Detection, DetectionConfig
from appliance.errors import ApplianceError, LeaseLost, NotFound
from appliance.services.box import Box
from appliance.services.inference_files import KIND
from appliance.state import files, jobs, work, workers
from appliance.state.files import FileDetection, InferenceFile
from appliance.state.work import Work

RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class Task:
    """A file in progress under a lease, and how it is to be scored."""

    work: Work
    file: InferenceFile
    model: str
    config: DetectionConfig


def start_worker(box: Box, worker_id: str, provider: str) -> None:
    """Make this the worker. It holds the worker's lock, so what its predecessor left is free at once."""
    with box.db.transaction():
        workers.register(box.db, worker_id, provider)
        requeue_lost(box, work.release_others(box.db, KIND, worker_id))


def claim(box: Box, worker_id: str) -> Task | None:
    """Lease the next file, or None where none is ready."""
    with box.db.transaction():
        claimed = work.claim(box.db, KIND, worker_id, box.settings.lease_seconds)
        if claimed is None:
            return None
        if not files.mark_processing(box.db, claimed.subject_id):
            raise LeaseLost(f"File {claimed.subject_id} is not queued.")
        file = files.find_file(box.db, claimed.subject_id)
        job = jobs.find_job(box.db, file.job_id) if file else None
        if file is None or job is None:
            raise NotFound(f"File {claimed.subject_id} is gone.")
    return Task(claimed, file, job.model, DetectionConfig(**job.client_config))


def heartbeat(box: Box, worker_id: str, active: Iterable[Work]) -> set[Work]:
    """Extend the leases of what this worker has in progress; the work that it still holds."""
    with box.db.transaction():
        workers.touch(box.db, worker_id)
        return work.extend(box.db, active, box.settings.lease_seconds)


def complete(box: Box, task: Task, duration_ms: int, detections: Iterable[Detection]) -> None:
    """processing → completed with its detections. Raises LeaseLost, and then nothing is written."""
    with box.db.transaction():
        work.finish(box.db, task.work)
        found = [FileDetection(**asdict(detection)) for detection in detections]
        if not files.mark_completed(box.db, task.file.id, duration_ms, found):
            raise LeaseLost(f"File {task.file.id} is not in progress.")


def fail(box: Box, task: Task, error: ApplianceError) -> None:
    """processing → failed with the reason. Raises LeaseLost."""
    with box.db.transaction():
        work.finish(box.db, task.work)
        files.mark_failed(box.db, task.file.id, "processing", error.code, str(error))


def retry(box: Box, task: Task, error: ApplianceError, *, counts: bool) -> None:
    """processing → queued for another try; → failed where the tries that count are used up. Raises LeaseLost."""
    if counts and task.work.attempts + 1 >= box.settings.max_decoder_deaths:
        fail(box, task, error)
        return
    with box.db.transaction():
        work.give_back(box.db, task.work, attempts=int(counts), delay_seconds=RETRY_SECONDS)
        files.mark_requeued(box.db, task.file.id)


def requeue_lost(box: Box, lost: Iterable[Work]) -> None:
    """processing → queued for work whose worker went silent; → failed after too many times. In a transaction."""
    for each in lost:
        if each.lost_leases < box.settings.max_lost_leases:
            files.mark_requeued(box.db, each.subject_id)
            continue
        work.discard(box.db, [each.id])
        message = f"The worker was lost {each.lost_leases} times while it processed this file."
        files.mark_failed(box.db, each.subject_id, "processing", LeaseLost.code, message)
