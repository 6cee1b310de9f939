"""The batch door: many files in one form, then a transcript of each. The calls of a hosted service."""

from __future__ import annotations

from typing import Any, Literal

from flask import current_app, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from appliance.api.context import box, require_authorization, tenant_id, upload_slot
from appliance.api.multipart import file_parts
from appliance.api.schemas import Body, Text
from appliance.services.speech import batch, batch_uploads
from appliance.services.speech.batch import BatchReport
from appliance.state.media import Media
from appliance.state.transcripts import Transcript

blueprint = APIBlueprint(
    "speech_batch",
    __name__,
    url_prefix="/transcribe",
    abp_tags=[Tag(name="speech batches", description="Speech to text: many files in one form, a transcript of each.")],
    abp_security=[{"authorization": []}],
)
blueprint.before_request(require_authorization)

Answer = tuple[dict[str, Any], int]
Status = Literal["pending", "completed", "failed"]
BatchStatus = Literal["pending", "processing", "completed", "failed"]

PARTS = ("files", "files.items")
FORM_BYTES = 1024**2  # room for the form around the files
FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
FORM = {"content": {"multipart/form-data": {"schema": {"type": "object", "properties": {"files": FILES}}}}}
UPLOAD_STATUS = {"pending": "pending", "spooled": "pending", "stored": "completed", "failed": "failed"}
TRANSCRIPT_STATUS = {"waiting": "pending", "queued": "pending"}


class BatchFile(BaseModel):
    """A file of a batch."""

    file_id: str
    filename: str
    size_bytes: int | None
    estimated_duration_seconds: float | None = Field(description="As its header says; null where it says nothing.")
    upload_status: Status


class BatchAccepted(BaseModel):
    """The receipt of a batch whose files are on disk; they go to storage in the background."""

    batch_upload_id: str
    status: Literal["accepted"]
    total_files: int
    spool_seconds: float = Field(description="How long the files took to arrive.")
    files: list[BatchFile]


class StoredFile(BatchFile):
    """A file of a batch on its way to storage."""

    error_message: str | None


class BatchUpload(BaseModel):
    """A batch on its way to storage."""

    batch_upload_id: str
    status: Literal["accepted", "completed", "failed"] = Field(description="`accepted` until every file has ended.")
    total_files: int
    files: list[StoredFile]


class CreateBatch(Body):
    """What to transcribe: all files of an upload, or the files named."""

    batch_upload_id: Text | None = None
    file_ids: list[Text] | None = Field(None, min_length=1, max_length=1000)
    model: Text | None = Field(None, description="A transcription model: `<name>` or `<name>@<version>`.")


class BatchTranscript(BaseModel):
    """A transcript of a batch."""

    transcript_id: str
    file_id: str
    filename: str
    status: BatchStatus
    text: str | None
    segments: list[dict[str, Any]] | None = Field(description="`text`, `start_ms` and `end_ms` of each.")
    duration_ms: int | None
    error_code: str | None
    error_message: str | None


class Batch(BaseModel):
    """A batch of transcripts."""

    batch_id: str
    status: BatchStatus
    total_files: int
    processed_files: int = Field(description="Files that reached an end.")
    transcripts: list[BatchTranscript]


class BatchUploadPath(BaseModel):
    """Path of a batch of uploads."""

    batch_upload_id: Text


class BatchPath(BaseModel):
    """Path of a batch of transcripts."""

    batch_id: Text


@blueprint.post("/files/upload", responses={202: BatchAccepted}, request_body=FORM)
def upload_files() -> Answer:
    """Upload one or many files in one form, each as a part named `files` or `files.items`."""
    request.max_content_length = box().settings.max_batch_bytes + FORM_BYTES
    with upload_slot():
        parts = file_parts(request.stream, request.headers.get("Content-Type", ""), PARTS)
        made = batch_uploads.accept(box(), current_app.extensions["durations"], tenant_id(), parts)
    return {
        "batch_upload_id": made.id,
        "status": "accepted",
        "total_files": len(made.files),
        "spool_seconds": round(made.spool_seconds, 3),
        "files": [render_file(each) for each in made.files],
    }, 202


@blueprint.get("/files/upload/<batch_upload_id>", responses={200: BatchUpload})
def get_upload(path: BatchUploadPath) -> Answer:
    """Get how far the files of a batch are on their way to storage."""
    files = batch_uploads.find_batch(box(), tenant_id(), path.batch_upload_id)
    statuses = {UPLOAD_STATUS[each.status] for each in files}
    return {
        "batch_upload_id": path.batch_upload_id,
        "status": "accepted" if "pending" in statuses else "failed" if "failed" in statuses else "completed",
        "total_files": len(files),
        "files": [render_file(each) | {"error_message": each.error_message} for each in files],
    }, 200


@blueprint.post("/batch", responses={202: Batch})
def create_batch(body: CreateBatch) -> Answer:
    """Ask for transcripts of many files."""
    return render_batch(batch.create_batch(box(), tenant_id(), body.batch_upload_id, body.file_ids, body.model)), 202


@blueprint.get("/batch/<batch_id>", responses={200: Batch})
def get_batch(path: BatchPath) -> Answer:
    """Get the transcripts of a batch, as far as they are."""
    return render_batch(batch.find(box(), tenant_id(), path.batch_id)), 200


def render_file(source: Media) -> dict[str, Any]:
    """A file as the reference prints it."""
    return {
        "file_id": source.id,
        "filename": source.original_filename,
        "size_bytes": source.size_bytes,
        "estimated_duration_seconds": source.estimated_duration_seconds,
        "upload_status": UPLOAD_STATUS[source.status],
    }


def render_batch(report: BatchReport) -> dict[str, Any]:
    """A batch with its transcripts."""
    return {
        "batch_id": report.id,
        "status": report.status,
        "total_files": len(report.items),
        "processed_files": sum(found.status in ("completed", "failed") for found, _ in report.items),
        "transcripts": [render_transcript(found, source) for found, source in report.items],
    }


def render_transcript(found: Transcript, source: Media) -> dict[str, Any]:
    """A transcript; its text is null until it is completed."""
    result = found.result or {}
    return {
        "transcript_id": found.id,
        "file_id": source.id,
        "filename": source.original_filename,
        "status": TRANSCRIPT_STATUS.get(found.status, found.status),
        "text": result.get("text"),
        "segments": result.get("segments"),
        "duration_ms": found.duration_ms,
        "error_code": found.error_code,
        "error_message": found.error_message,
    }
