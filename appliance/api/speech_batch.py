"""The batch route over HTTP: many files in one form, then a transcript of each. The calls of a hosted service."""

from __future__ import annotations

from typing import Any, Literal

from flask import current_app, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from appliance.api.context import box, require_authorization, tenant_id, upload_slot
from appliance.api.multipart import file_parts
from appliance.api.schemas import Body, Text
from appliance.frontdoor.paths import BATCH_UPLOAD
from appliance.services.speech import batch, batch_uploads
from appliance.services.speech.batch import BatchReport
from appliance.state.media import Media
from appliance.state.transcripts import Transcript

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
    estimated_duration_seconds: float | None = Field(
        description="As its header claims; null if it has no readable header."
    )
    upload_status: Status


class BatchAccepted(BaseModel):
    """A batch whose files are on disk; they are copied to storage in the background."""

    batch_upload_id: str
    status: Literal["accepted"]
    total_files: int
    spool_seconds: float = Field(description="How long the files took to arrive.")
    files: list[BatchFile]


class StoredFile(BatchFile):
    """A file of a batch and its copy to storage."""

    error_message: str | None


class BatchUpload(BaseModel):
    """A batch and the copy of its files to storage."""

    batch_upload_id: str
    status: Literal["accepted", "completed", "failed"] = Field(description="`accepted` until every file has ended.")
    total_files: int
    files: list[StoredFile]


class CreateBatch(Body):
    """The files to transcribe: all files of an upload, or the named files."""

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
    processed_files: int = Field(description="Files that are completed or failed.")
    transcripts: list[BatchTranscript]


class BatchUploadPath(BaseModel):
    """Path of a batch of uploads."""

    batch_upload_id: Text


class BatchPath(BaseModel):
    """Path of a batch of transcripts."""

    batch_id: Text


@blueprint.post(BATCH_UPLOAD.removeprefix(PREFIX), responses={202: BatchAccepted}, request_body=FORM)
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


@blueprint.get("/files/upload/<batch_upload_id>", responses={200: BatchUpload})
def get_upload(path: BatchUploadPath) -> Answer:
    """Get the progress of the files of a batch on their way to storage."""
    files = batch_uploads.find_batch(box(), tenant_id(), path.batch_upload_id)
    statuses = {UPLOAD_STATUS[media.status] for media in files}
    return {
        "batch_upload_id": path.batch_upload_id,
        "status": "accepted" if "pending" in statuses else "failed" if "failed" in statuses else "completed",
        "total_files": len(files),
        "files": [render_file(media) | {"error_message": media.error_message} for media in files],
    }, 200


@blueprint.post("/batch", responses={202: Batch})
def create_batch(body: CreateBatch) -> Answer:
    """Request transcripts of many files."""
    return render_batch(batch.create_batch(box(), tenant_id(), body.batch_upload_id, body.file_ids, body.model)), 202


@blueprint.get("/batch/<batch_id>", responses={200: Batch})
def get_batch(path: BatchPath) -> Answer:
    """Get the transcripts of a batch and their progress."""
    return render_batch(batch.find_batch(box(), tenant_id(), path.batch_id)), 200


def render_file(media: Media) -> dict[str, Any]:
    """Return the JSON of a file, with the field names of the hosted service."""
    return {
        "file_id": media.id,
        "filename": media.original_filename,
        "size_bytes": media.size_bytes,
        "estimated_duration_seconds": media.estimated_duration_seconds,
        "upload_status": UPLOAD_STATUS[media.status],
    }


def render_batch(report: BatchReport) -> dict[str, Any]:
    """Return the JSON of a batch with its transcripts."""
    return {
        "batch_id": report.id,
        "status": report.status,
        "total_files": len(report.items),
        "processed_files": sum(transcript.status in ("completed", "failed") for transcript, _ in report.items),
        "transcripts": [render_transcript(transcript, media) for transcript, media in report.items],
    }


def render_transcript(transcript: Transcript, media: Media) -> dict[str, Any]:
    """Return the JSON of a transcript; its text is null until it is completed."""
    result = transcript.result or {}
    return {
        "transcript_id": transcript.id,
        "file_id": media.id,
        "filename": media.original_filename,
        "status": TRANSCRIPT_STATUS.get(transcript.status, transcript.status),
        "text": result.get("text"),
        "segments": result.get("segments"),
        "duration_ms": transcript.duration_ms,
        "error_code": transcript.error_code,
        "error_message": transcript.error_message,
    }
