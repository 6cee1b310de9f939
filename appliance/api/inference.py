"""Inference jobs and their files over HTTP."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint, Tag

from appliance.api import schemas
from appliance.api.context import box, origin, require_key, tenant_id
from appliance.api.cursors import make_cursor, read_cursor
from appliance.api.pages import page_answer, read_page
from appliance.engine.scoring.events import DetectionConfig
from appliance.rfc3339 import rfc3339
from appliance.services.inference import files as inference_files
from appliance.services.inference import jobs as inference_jobs
from appliance.services.inference import multipart
from appliance.services.inference.jobs import FileReport, JobReport
from appliance.services.inference.multipart import PartsReport
from appliance.services.uploads import Upload
from appliance.state.redetections import Redetection

blueprint = APIBlueprint(
    "inference",
    __name__,
    url_prefix="/api/v1/inference-jobs",
    abp_tags=[Tag(name="inference", description="Audio in, timestamped detections out.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]


@blueprint.post("", responses={201: schemas.InferenceJob})
def create_inference_job(body: schemas.CreateInferenceJob) -> Answer:
    """Create an inference job."""
    config = DetectionConfig(**body.config.model_dump()) if body.config else DetectionConfig()
    report = inference_jobs.create_job(box(), tenant_id(), body.model_id, config, body.callback_url)
    return render_job(report), 201


@blueprint.get("", responses={200: schemas.InferenceJobPage})
def list_inference_jobs(query: schemas.ListInferenceJobs) -> Answer:
    """List inference jobs, newest first."""
    window = read_page(query)
    page, next_before = inference_jobs.list_jobs(
        box(),
        tenant_id(),
        model_id=query.model_id,
        status=query.status,
        text=query.q,
        before=window.place,
        limit=window.limit,
        offset=window.offset,
    )

    def count() -> int:
        return inference_jobs.count_jobs(box(), tenant_id(), model_id=query.model_id, status=query.status, text=query.q)

    return page_answer(("inference_jobs", "items"), [*map(render_summary, page)], window, next_before, count), 200


@blueprint.get("/<job_id>", responses={200: schemas.InferenceJob, 304: None})
def get_inference_job(path: schemas.JobPath, query: schemas.GetInferenceJob) -> Answer | Response:
    """Get an inference job with its files and their detections, or 304 if it is the one with the ETag sent."""
    summary = inference_jobs.get_summary(box(), tenant_id(), path.job_id)
    etag = etag_of(summary)
    if request.if_none_match.contains_weak(etag):
        response = Response(status=304)
    else:
        whole = render_job(inference_jobs.with_files(box(), summary)) if query.files else render_summary(summary)
        response = jsonify(whole)
    response.set_etag(etag)
    return response


@blueprint.delete("/<job_id>", responses={200: schemas.InferenceJob, 204: None})
def cancel_inference_job(path: schemas.JobPath, query: schemas.DeleteInferenceJob) -> Answer | tuple[str, int]:
    """Cancel the unfinished files of an inference job; with `purge`, delete it with its results and objects."""
    if query.purge:
        inference_jobs.purge_job(box(), tenant_id(), path.job_id)
        return "", 204
    return render_job(inference_jobs.cancel_job(box(), tenant_id(), path.job_id)), 200


@blueprint.get("/<job_id>/files", responses={200: schemas.InferenceFilePage})
def list_inference_files(path: schemas.JobPath, query: schemas.ListInferenceFiles) -> Answer:
    """List the files of an inference job with their detections, in the order of their upload requests."""
    page, next_after = inference_files.list_files(
        box(),
        tenant_id(),
        path.job_id,
        status=query.status,
        verdict=query.verdict,
        text=query.q,
        after=read_cursor(query.cursor),
        limit=query.limit,
    )
    return {"files": [render_file(report) for report in page], "next_cursor": make_cursor(next_after)}, 200


@blueprint.delete("/<job_id>/files/<file_id>", responses={204: None})
def delete_inference_file(path: schemas.FilePath) -> tuple[str, int]:
    """Delete one file with its results and its objects, whatever its status."""
    inference_files.delete_file(box(), tenant_id(), path.job_id, path.file_id)
    return "", 204


@blueprint.post("/<job_id>/files/upload-url", responses={200: schemas.RequestedUpload})
def request_upload_url(path: schemas.JobPath, body: schemas.RequestUpload) -> Answer:
    """Request a form, or URLs of parts, that upload one file straight to object storage."""
    if body.multipart:
        report = multipart.request(
            box(),
            tenant_id(),
            path.job_id,
            filename=body.filename,
            content_type=body.content_type,
            size_bytes=body.file_size_bytes,
            origin=origin(),
        )
        return render_parts(report), 200
    upload = inference_files.request_upload(
        box(),
        tenant_id(),
        path.job_id,
        filename=body.filename,
        content_type=body.content_type,
        size_bytes=body.file_size_bytes,
        origin=origin(),
    )
    return render_upload(upload), 200


@blueprint.post("/<job_id>/files/confirm", responses={200: schemas.Confirmation})
def confirm_upload(path: schemas.JobPath, body: schemas.ConfirmUpload) -> Answer:
    """Confirm an upload, which queues the file."""
    inference_files.confirm_upload(box(), tenant_id(), path.job_id, body.file_id)
    message = "Upload confirmed. File queued for inference."
    return {"file_id": body.file_id, "status": "queued", "message": message}, 200


@blueprint.get("/<job_id>/files/<file_id>/parts", responses={200: schemas.PartsReport})
def list_parts(path: schemas.FilePath) -> Answer:
    """List what arrived of an upload in parts, and get URLs for what is missing."""
    return render_parts(multipart.report(box(), tenant_id(), path.job_id, path.file_id, origin())), 200


@blueprint.get("/<job_id>/files/<file_id>", responses={200: schemas.InferenceFile})
def get_inference_file(path: schemas.FilePath) -> Answer:
    """Get one file and its detections."""
    return render_file(inference_files.get_file(box(), tenant_id(), path.job_id, path.file_id)), 200


@blueprint.get("/<job_id>/files/<file_id>/download-url", responses={200: schemas.Download})
def get_download_url(path: schemas.FilePath) -> Answer:
    """Get a URL of the original file, under its own name."""
    url, expires_in = inference_files.download_url(box(), tenant_id(), path.job_id, path.file_id, origin())
    return {"url": url, "expires_in": expires_in}, 200


def render_job(report: JobReport) -> dict[str, Any]:
    """Return the JSON of a job with its files."""
    files = [render_file(file) for file in report.files]
    return render_summary(report) | {"files": files, "files_next_cursor": make_cursor(report.files_end)}


def etag_of(summary: JobReport) -> str:
    """Return a tag that changes with every change of the job and its files, and with nothing else."""
    shown = json.dumps([summary.job.version, render_summary(summary)])
    return hashlib.sha256(shown.encode()).hexdigest()[:32]


def render_summary(report: JobReport) -> dict[str, Any]:
    """Return the JSON of a job without its files."""
    job = report.job
    return {
        "id": job.id,
        "model_id": job.model_id,
        "model_version": job.model_version,
        "status": job.status,
        "config": job.config,
        "callback_url": job.callback_url,
        "callback": report.callback,
        "total_files": job.total_files,
        "processed_files": job.processed_files,
        "failed_files": job.failed_files,
        "error_message": report.error_message,
        "created_at": rfc3339(job.created_at),
        "updated_at": rfc3339(job.updated_at),
    }


def render_file(report: FileReport) -> dict[str, Any]:
    """Return the JSON of a file; its list of detections and their count are always present."""
    file = report.file
    return {
        "id": file.id,
        "file_id": file.id,
        "original_filename": file.original_filename,
        "status": file.status,
        "detection_count": len(report.detections),
        "detections": [vars(detection) for detection in report.detections],
        "detections_truncated": file.detections_truncated,
        "error_message": file.error_message,
        "error_code": file.error_code,
        "duration_ms": file.duration_ms,
        "config": report.config,
        "verdict": file.verdict,
        "verdict_reasons": file.verdict_reasons,
        "scores_kept": file.scores_bytes is not None,
        "redetection": render_redetection(report.redetection),
    }


def render_redetection(request: Redetection | None) -> dict[str, Any] | None:
    """Return the JSON of a request to detect again, None if there is none."""
    if request is None:
        return None
    return {"status": request.status, "error_code": request.error_code, "error_message": request.error_message}


def render_parts(report: PartsReport) -> dict[str, Any]:
    """Return the JSON of an upload in parts."""
    return {
        "file_id": report.file_id,
        "part_size_bytes": report.part_bytes,
        "num_parts": report.num_parts,
        "num_missing": report.num_missing,
        "arrived": [{"part_number": part.number, "size_bytes": part.size_bytes} for part in report.arrived],
        "parts": [
            {"part_number": part.number, "offset": part.offset, "size_bytes": part.size_bytes, "url": part.url}
            for part in report.missing
        ],
        "expires_in": report.expires_seconds,
    }


def render_upload(upload: Upload) -> dict[str, Any]:
    """Return the JSON of an upload form, with the field names of inference."""
    return {
        "upload_url": upload.form.url,
        "upload_fields": upload.form.fields,
        "file_id": upload.file_id,
        "expires_in": upload.expires_seconds,
    }
