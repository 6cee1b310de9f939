"""The batch route over HTTP: many files in one form, then a transcript of each. The calls of a hosted service."""

from __future__ import annotations

import json
from collections import Counter
from http import HTTPStatus
from typing import Any

from flask import Response, current_app, request
from flask_openapi import APIBlueprint, Tag

from appliance.api import speech_batch_schemas as schemas
from appliance.api.context import box, require_authorization, tenant_id, upload_slot
from appliance.api.multipart import file_parts
from appliance.api.speech_batch_render import (
    STORED_STATUSES,
    UPLOAD_STATUS,
    array_of,
    page_of,
    render_batch,
    render_deleted,
    render_file,
    render_job,
    render_listed_file,
    render_progress,
    render_result,
    render_stored_file,
    statuses_of,
)
from appliance.frontdoor.paths import BATCH_UPLOAD, FORM_BYTES
from appliance.services.speech import batch, batch_results, batch_uploads
from appliance.services.speech.batch import Source

PREFIX = "/transcribe"

blueprint = APIBlueprint(
    "speech_batch",
    __name__,
    url_prefix=PREFIX,
    abp_tags=[Tag(name="speech batch", description="Speech to text: many files in one form, a transcript of each.")],
    abp_security=[{"authorization": []}],
)
blueprint.before_request(require_authorization)

Answer = tuple[dict[str, Any], int]

PARTS = ("files", "files.items")
FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
FORM = {"content": {"multipart/form-data": {"schema": {"type": "object", "properties": {"files": FILES}}}}}
DOWNLOAD_TYPES = {"ndjson": "application/x-ndjson", "json": "application/json"}
DOWNLOAD: dict[str | int | HTTPStatus, Any] = {
    200: {
        "content": {
            "application/x-ndjson": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
        }
    }
}


@blueprint.post(BATCH_UPLOAD.removeprefix(PREFIX), responses={202: schemas.BatchAccepted}, request_body=FORM)
def upload_files() -> Answer:
    """Upload one or many files in one form, each as a part named `files` or `files.items`."""
    request.max_content_length = box().settings.max_batch_bytes + FORM_BYTES
    with upload_slot():
        parts = file_parts(request.stream, request.headers.get("Content-Type", ""), PARTS)
        upload = batch_uploads.accept(box(), current_app.extensions["durations"], tenant_id(), parts)
    return {
        "batch_upload_id": upload.id,
        "status": "accepted",
        "total_files": len(upload.files),
        "spool_seconds": round(upload.spool_seconds, 3),
        "files": [render_file(media) for media in upload.files],
    }, 202


@blueprint.get("/files/upload/<batch_upload_id>", responses={200: schemas.BatchUpload})
def get_upload(path: schemas.BatchUploadPath) -> Answer:
    """Get the progress of the files of a batch on their way to storage."""
    files = batch_uploads.find_batch(box(), tenant_id(), path.batch_upload_id)
    counts = Counter(UPLOAD_STATUS[media.status] for media in files)
    return {
        "batch_upload_id": path.batch_upload_id,
        "status": "accepted" if counts["pending"] else "failed" if counts["failed"] else "completed",
        "total_files": len(files),
        **{status: counts[status] for status in ("completed", "failed", "uploading", "pending")},
        "files": [render_stored_file(media) for media in files],
    }, 200


@blueprint.get("/files", responses={200: schemas.FilePage})
def list_files(query: schemas.ListFiles) -> Answer:
    """List the files of all batch uploads, newest first."""
    statuses = STORED_STATUSES[query.upload_status] if query.upload_status else tuple(UPLOAD_STATUS)
    files, total = batch_uploads.list_files(
        box(), tenant_id(), statuses, offset=(query.page - 1) * query.limit, limit=query.limit
    )
    return page_of(query, "total_files", total, "files", [render_listed_file(media) for media in files]), 200


@blueprint.delete("/files", responses={200: schemas.DeletedFiles})
def delete_files(body: schemas.DeleteFiles) -> Answer:
    """Delete files with their bytes and their transcripts: all of them, or none if one does not exist."""
    return render_deleted(batch_uploads.delete_files(box(), tenant_id(), body.file_ids)), 200


@blueprint.delete("/files/<file_id>", responses={200: schemas.DeletedFiles})
def delete_file(path: schemas.FilePath) -> Answer:
    """Delete a file with its bytes and its transcripts."""
    return render_deleted(batch_uploads.delete_files(box(), tenant_id(), [path.file_id])), 200


@blueprint.post("/batch", responses={202: schemas.CreatedBatch})
def create_batch(body: schemas.CreateBatch) -> Answer:
    """Request transcripts of many files."""
    sources = [Source(source.url, source.filename) for source in body.sources or []]
    report = batch.create_batch(box(), tenant_id(), body.batch_upload_id, body.file_ids, body.model, sources)
    progress = batch_results.progress(box(), tenant_id(), report.id)
    return render_batch(report) | {
        "total_jobs": len(report.items),
        "estimated_audio_seconds": round(progress.audio_seconds, 3),
        "estimated_completion_seconds": round(progress.completion_seconds, 3),
        "jobs": [render_job(transcript, media) for transcript, media in report.items],
    }, 202


@blueprint.get("/batch/<batch_id>", responses={200: schemas.Batch})
def get_batch(path: schemas.BatchPath) -> Answer:
    """Get the transcripts of a batch and their progress."""
    return render_batch(batch.find_batch(box(), tenant_id(), path.batch_id)), 200


@blueprint.get("/status/batch/<batch_id>", responses={200: schemas.BatchProgress})
def get_progress(path: schemas.BatchPath) -> Answer:
    """Get how far a batch is, without its transcripts."""
    return render_progress(batch_results.progress(box(), tenant_id(), path.batch_id)), 200


@blueprint.get("/results/batch/<batch_id>", responses={200: schemas.ResultPage})
def list_results(path: schemas.BatchPath, query: schemas.ListResults) -> Answer:
    """List the results of a batch, in the order of its files."""
    items, total = batch_results.list_results(
        box(),
        tenant_id(),
        path.batch_id,
        statuses_of(query.status),
        offset=(query.page - 1) * query.limit,
        limit=query.limit,
    )
    files = [render_result(transcript, media) for transcript, media in items]
    return {"batch_id": path.batch_id} | page_of(query, "total_files", total, "files", files), 200


@blueprint.get("/results/file/<file_id>", responses={200: schemas.FileResult})
def get_result(path: schemas.FilePath, query: schemas.FileQuery) -> Answer:
    """Get the newest transcript of a file."""
    return render_result(*batch_results.find_result(box(), tenant_id(), path.file_id)), 200


@blueprint.get("/download/batch/<batch_id>", responses=DOWNLOAD)
def download_results(path: schemas.BatchPath, query: schemas.DownloadResults) -> Response:
    """Download the results of a batch."""
    items = batch_results.iterate_results(box(), tenant_id(), path.batch_id, statuses_of(query.status))
    results = (json.dumps(render_result(transcript, media), ensure_ascii=False) for transcript, media in items)
    lines = (f"{result}\n" for result in results) if query.format == "ndjson" else array_of(results)
    response = Response(lines, mimetype=DOWNLOAD_TYPES[query.format])
    response.headers.set("Content-Disposition", "attachment", filename=f"{path.batch_id}.{query.format}")
    return response
