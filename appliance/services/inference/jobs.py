"""Inference jobs: create, list, read, cancel, delete."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from typing import Any

from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import InvalidRequest, ModelNotFound, NotFound
from appliance.services import audit
from appliance.services.box import Box
from appliance.services.inference.endings import job_ended
from appliance.services.models import choose
from appliance.services.paging import split_page
from appliance.services.purge import enqueue_purge
from appliance.services.webhooks.reports import newest_reports
from appliance.services.webhooks.urls import check_callback
from appliance.state import inference_files, inference_jobs, redetections
from appliance.state.inference_files import FileDetection, InferenceFile
from appliance.state.inference_jobs import Job, JobSettings
from appliance.state.moves import FileStatus
from appliance.state.redetections import Redetection
from appliance.state.verdicts import FileVerdict

MAX_FILES = 1000  # in the answer of a job
MAX_LISTED = 20_000  # detections in one answer


@dataclass(frozen=True)
class FileReport:
    """A file, its detections, the settings in effect for them, and the request to detect again if there is one."""

    file: InferenceFile
    detections: list[FileDetection]
    config: dict[str, Any]
    redetection: Redetection | None


@dataclass(frozen=True)
class JobReport:
    """A job, and its files in the order in which their uploads were requested; a summary has none."""

    job: Job
    error_message: str | None
    callback: dict[str, Any] | None  # the delivery of the newest webhook
    files: list[FileReport] = field(default_factory=list)
    files_end: int | None = None  # the sequence of the last file here, if more files follow


def create_job(
    box: Box, tenant_id: int, model_id: str, config: DetectionConfig, callback_url: str | None = None
) -> JobReport:
    """Create a job for a model, pinned to the version that the model has now. Its webhooks go to ``callback_url``.

    Raises InvalidRequest if there is no such model, if the model is not for detection, or if the URL may not be called.
    """
    check_callback(box, callback_url, "callback_url")
    try:
        manifest = choose(box, tenant_id, model_id).manifest
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
    return with_files(box, get_summary(box, tenant_id, job_id))


def get_summary(box: Box, tenant_id: int, job_id: str) -> JobReport:
    """Return the job without its files: this costs the same for 10 and for 100,000 files. Raises NotFound."""
    job = find_job(box, tenant_id, job_id)
    return JobReport(job, error_message(box, job), newest_reports(box, [job_id]).get(job_id))


def with_files(box: Box, summary: JobReport) -> JobReport:
    """Return the same job with its files and their detections, as many as one answer can have."""
    files, files_end = page_of_files(box, summary.job, limit=MAX_FILES)
    return replace(summary, files=files, files_end=files_end)


def page_of_files(
    box: Box,
    job: Job | JobSettings,
    *,
    status: FileStatus | None = None,
    verdict: FileVerdict | None = None,
    text: str | None = None,
    after: int | None = None,
    limit: int,
) -> tuple[list[FileReport], int | None]:
    """Return files in the order of their requests, and the sequence after which further files come.

    They are up to ``limit`` files, and fewer if they have more than MAX_LISTED detections together.
    """
    rows = inference_files.list_files(
        box.db, job.id, status=status, verdict=verdict, text=text, after=after or 0, limit=limit + 1
    )
    totals = accumulate(file.num_detections for file in rows)
    room = max(1, sum(total <= MAX_LISTED for total in totals))
    page, end = split_page(rows, min(limit, room))
    return reports_of(box, job, page), end


def reports_of(box: Box, job: Job | JobSettings, files: list[InferenceFile]) -> list[FileReport]:
    """Return files of a job with all that is shown of them."""
    detections = inference_files.list_detections(box.db, files)
    requests = redetections.of_files(box.db, [file.id for file in files])
    return [
        FileReport(file, detections.get(file.id, []), file.config or job.config, requests.get(file.id))
        for file in files
    ]


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
    box: Box,
    tenant_id: int,
    *,
    model_id: str | None,
    status: str | None,
    text: str | None = None,
    before: int | None,
    limit: int,
    offset: int = 0,
) -> tuple[list[JobReport], int | None]:
    """Return a page of jobs without their files, newest first, and the sequence before which the next page starts."""
    name, _, version = (model_id or "").partition("@")
    rows = inference_jobs.list_jobs(
        box.db,
        tenant_id,
        model_name=name or None,
        model_version=version or None,
        status=status,
        text=text,
        before=before,
        limit=limit + 1,
        offset=offset,
    )
    page, next_before = split_page(rows, limit)
    callbacks = newest_reports(box, [job.id for job in page])
    return [JobReport(job, error_message(box, job), callbacks.get(job.id)) for job in page], next_before


def count_jobs(box: Box, tenant_id: int, *, model_id: str | None, status: str | None, text: str | None = None) -> int:
    """Return the number of the tenant's jobs."""
    name, _, version = (model_id or "").partition("@")
    return inference_jobs.count_jobs(
        box.db, tenant_id, model_name=name or None, model_version=version or None, status=status, text=text
    )


def cancel_job(box: Box, tenant_id: int, job_id: str) -> JobReport:
    """Cancel the unfinished files of a job. A job at its end stays as it is. Raises NotFound."""
    with box.db.transaction() as tx:
        if find_job(box, tenant_id, job_id).status in ("pending", "processing"):
            inference_jobs.cancel_job(tx, job_id)
            audit.note(tx, "job cancelled", job_id)
            job_ended(tx, tenant_id, job_id)
    return get_job(box, tenant_id, job_id)


def purge_job(box: Box, tenant_id: int, job_id: str) -> None:
    """Remove a job with its files and results; the worker then deletes the objects. Raises NotFound."""
    with box.db.transaction() as tx:
        find_settings(box, tenant_id, job_id)
        inference_jobs.delete_job(tx, job_id)
        enqueue_purge(tx, tenant_id, f"tenant-{tenant_id}/inference-{job_id}")
        audit.note(tx, "job deleted", job_id)


def error_message(box: Box, job: Job) -> str | None:
    """Return why a failed job failed, None for any other job."""
    if job.status != "failed":
        return None
    which = "The file" if job.total_files == 1 else f"All {job.total_files} files"
    return f"{which} failed: {inference_files.first_error(box.db, job.id)}"
