"""Inference jobs: create, list, look at, cancel."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass

from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import InvalidRequest, ModelNotFound, NotFound
from appliance.services.box import Box
from appliance.services.inference.endings import job_ended
from appliance.services.webhooks.urls import check_callback
from appliance.state import inference_files, inference_jobs
from appliance.state.inference_files import FileDetection, InferenceFile
from appliance.state.inference_jobs import Job


@dataclass(frozen=True)
class FileReport:
    """A file and what was heard in it."""

    file: InferenceFile
    detections: list[FileDetection]


@dataclass(frozen=True)
class JobReport:
    """A job with its files in the order they were asked for."""

    job: Job
    error_message: str | None
    files: list[FileReport]


def create_job(
    box: Box, tenant_id: int, model_id: str, config: DetectionConfig, callback_url: str | None = None
) -> JobReport:
    """Make a job for a model, which is pinned to the version it has now. ``callback_url`` is told what becomes of it.

    Raises InvalidRequest where there is no such model, or it is not for detection, or the URL is not one to call.
    """
    check_callback(box, callback_url, "callback_url")
    try:
        manifest = box.models.resolve(model_id).manifest
    except ModelNotFound as error:
        raise InvalidRequest(f"model_id: {error}") from error
    if manifest.task != "detection":
        raise InvalidRequest(f"model_id: {manifest.id} is for {manifest.task}, not for detection.")
    job_id = str(uuid.uuid4())
    client_config = {name: value for name, value in asdict(config).items() if value is not None}
    with box.db.transaction():
        inference_jobs.insert_job(
            box.db,
            job_id,
            tenant_id,
            model_id,
            manifest.name,
            manifest.version,
            config.over(manifest.defaults).model_dump(),
            client_config,
            callback_url,
        )
    return get_job(box, tenant_id, job_id)


def get_job(box: Box, tenant_id: int, job_id: str) -> JobReport:
    """The job with its files. Raises NotFound."""
    job = find_job(box, tenant_id, job_id)
    detections = inference_files.list_detections(box.db, job_id)
    reports = [FileReport(file, detections.get(file.id, [])) for file in inference_files.list_files(box.db, job_id)]
    return JobReport(job, error_message(box, job), reports)


def find_job(box: Box, tenant_id: int, job_id: str) -> Job:
    """The tenant's job without its files. Raises NotFound."""
    job = inference_jobs.get_job(box.db, tenant_id, job_id)
    if job is None:
        raise NotFound("There is no such inference job.")
    return job


def list_jobs(
    box: Box, tenant_id: int, *, model_id: str | None, status: str | None, before: int | None, limit: int
) -> tuple[list[JobReport], int | None]:
    """A page of jobs without their files, newest first, and the sequence that the next page starts before."""
    name, _, version = (model_id or "").partition("@")
    page = inference_jobs.list_jobs(
        box.db,
        tenant_id,
        model_name=name or None,
        model_version=version or None,
        status=status,
        before=before,
        limit=limit + 1,
    )
    following = page[limit - 1].sequence if len(page) > limit else None
    return [JobReport(job, error_message(box, job), []) for job in page[:limit]], following


def cancel_job(box: Box, tenant_id: int, job_id: str) -> JobReport:
    """Cancel what is unfinished; a job that ended stays as it is. Raises NotFound."""
    with box.db.transaction():
        if find_job(box, tenant_id, job_id).status in ("pending", "processing"):
            inference_jobs.cancel_job(box.db, job_id)
            job_ended(box.db, find_job(box, tenant_id, job_id))
    return get_job(box, tenant_id, job_id)


def error_message(box: Box, job: Job) -> str | None:
    """Why a failed job failed."""
    if job.status != "failed":
        return None
    which = "The file" if job.total_files == 1 else f"All {job.total_files} files"
    return f"{which} failed: {inference_files.first_error(box.db, job.id)}"
