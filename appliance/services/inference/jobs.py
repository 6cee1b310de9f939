"""Inference jobs: create, list, read, cancel."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass

from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import InvalidRequest, ModelNotFound, NotFound
from appliance.services.box import Box
from appliance.services.inference.endings import job_ended
from appliance.services.paging import split_page
from appliance.services.webhooks.urls import check_callback
from appliance.state import inference_files, inference_jobs
from appliance.state.inference_files import FileDetection, InferenceFile
from appliance.state.inference_jobs import Job, JobSettings


@dataclass(frozen=True)
class FileReport:
    """A file and its detections."""

    file: InferenceFile
    detections: list[FileDetection]


@dataclass(frozen=True)
class JobReport:
    """A job with its files, in the order in which their uploads were requested."""

    job: Job
    error_message: str | None
    files: list[FileReport]


def create_job(
    box: Box, tenant_id: int, model_id: str, config: DetectionConfig, callback_url: str | None = None
) -> JobReport:
    """Create a job for a model, pinned to the version that the model has now. Its webhooks go to ``callback_url``.

    Raises InvalidRequest if there is no such model, if the model is not for detection, or if the URL may not be called.
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
    with box.db.transaction() as tx:
        inference_jobs.insert_job(
            tx,
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
    """Return the job with its files. Raises NotFound."""
    job = find_job(box, tenant_id, job_id)
    detections = inference_files.list_detections(box.db, job_id)
    reports = [FileReport(file, detections.get(file.id, [])) for file in inference_files.list_files(box.db, job_id)]
    return JobReport(job, error_message(box, job), reports)


def find_job(box: Box, tenant_id: int, job_id: str) -> Job:
    """Return the tenant's job without its files. Raises NotFound."""
    job = inference_jobs.get_job(box.db, tenant_id, job_id)
    if job is None:
        raise NotFound("There is no such inference job.")
    return job


def find_settings(box: Box, tenant_id: int, job_id: str) -> JobSettings:
    """Return the settings of the tenant's job, without counting its files. Raises NotFound."""
    settings = inference_jobs.get_settings(box.db, job_id)
    if settings is None or settings.tenant_id != tenant_id:
        raise NotFound("There is no such inference job.")
    return settings


def list_jobs(
    box: Box, tenant_id: int, *, model_id: str | None, status: str | None, before: int | None, limit: int
) -> tuple[list[JobReport], int | None]:
    """Return a page of jobs without their files, newest first, and the sequence before which the next page starts."""
    name, _, version = (model_id or "").partition("@")
    rows = inference_jobs.list_jobs(
        box.db,
        tenant_id,
        model_name=name or None,
        model_version=version or None,
        status=status,
        before=before,
        limit=limit + 1,
    )
    page, next_before = split_page(rows, limit)
    return [JobReport(job, error_message(box, job), []) for job in page], next_before


def cancel_job(box: Box, tenant_id: int, job_id: str) -> JobReport:
    """Cancel the unfinished files of a job. A job at its end stays as it is. Raises NotFound."""
    with box.db.transaction() as tx:
        if find_job(box, tenant_id, job_id).status in ("pending", "processing"):
            inference_jobs.cancel_job(tx, job_id)
            job_ended(tx, tenant_id, job_id)
    return get_job(box, tenant_id, job_id)


def error_message(box: Box, job: Job) -> str | None:
    """Return why a failed job failed, None for any other job."""
    if job.status != "failed":
        return None
    which = "The file" if job.total_files == 1 else f"All {job.total_files} files"
    return f"{which} failed: {inference_files.first_error(box.db, job.id)}"
