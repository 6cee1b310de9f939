"""Files, transcripts and batches in the JSON of the batch route, with the field names of the hosted service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from appliance.api.speech_batch_schemas import Numbered
from appliance.services.speech.batch import BatchReport
from appliance.services.speech.batch_results import BatchProgress
from appliance.services.speech.batch_uploads import DeletedFiles
from appliance.state.media import Media
from appliance.state.moves import TranscriptStatus
from appliance.state.transcripts import Transcript

UPLOAD_STATUS = {"pending": "pending", "spooled": "pending", "stored": "completed", "failed": "failed"}
# Status in the API → the statuses of the table that it stands for. A file is never shown as uploading.
STORED_STATUSES: dict[str, tuple[str, ...]] = {
    "pending": ("pending", "spooled"),
    "uploading": (),
    "completed": ("stored",),
    "failed": ("failed",),
}
TRANSCRIPT_STATUS: dict[TranscriptStatus, str] = {
    "waiting": "pending",
    "queued": "pending",
    "processing": "processing",
    "completed": "completed",
    "failed": "failed",
}


def statuses_of(shown: str | None) -> tuple[TranscriptStatus, ...]:
    """Return the statuses of the table that a status in the API stands for, all of them for None."""
    return tuple(status for status, name in TRANSCRIPT_STATUS.items() if shown in (None, name))


def page_of(query: Numbered, total_name: str, total: int, name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the JSON of a page, with the items under ``name`` and the number of all of them under ``total_name``."""
    return {
        "page": query.page,
        "limit": query.limit,
        "total_pages": -(-total // query.limit),
        total_name: total,
        "count": len(items),
        name: items,
    }


def array_of(results: Iterable[str]) -> Iterator[str]:
    """Yield a JSON array of results that are JSON already."""
    mark = "["
    for result in results:
        yield f"{mark}{result}"
        mark = ",\n"
    yield "[]" if mark == "[" else "]"


def render_file(media: Media) -> dict[str, Any]:
    """Return the JSON of a file."""
    return {
        "file_id": media.id,
        "filename": media.original_filename,
        "size_bytes": media.size_bytes or 0,
        "estimated_duration_seconds": media.estimated_duration_seconds,
        "upload_status": UPLOAD_STATUS[media.status],
    } | ({"error_message": media.error_message} if media.status == "failed" else {})


def render_stored_file(media: Media) -> dict[str, Any]:
    """Return the JSON of a file and its copy to storage."""
    key = {"gcs_key": media.object_key} if media.status == "stored" else {}
    return render_file(media) | {"error_message": media.error_message} | key


def render_listed_file(media: Media) -> dict[str, Any]:
    """Return the JSON of a file in the list of all files."""
    return {"batch_upload_id": media.batch_id} | render_stored_file(media) | {"content_type": media.content_type}


def render_deleted(deleted: DeletedFiles) -> dict[str, Any]:
    """Return the JSON of a deletion."""
    return {
        "deleted_file_ids": deleted.file_ids,
        "deleted_count": len(deleted.file_ids),
        "storage_objects_deleted": deleted.objects,
        "jobs_cleaned": deleted.transcripts,
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
        "status": TRANSCRIPT_STATUS[transcript.status],
        "text": result.get("text"),
        "segments": result.get("segments"),
        "words": result.get("words"),
        "duration_ms": transcript.duration_ms,
        "error_code": transcript.error_code,
        "error_message": transcript.error_message,
    }


def render_job(transcript: Transcript, media: Media) -> dict[str, Any]:
    """Return the JSON of the work on a file."""
    return {
        "file_id": media.id,
        "filename": media.original_filename,
        "batch_id": transcript.batch_id,
        "status": TRANSCRIPT_STATUS[transcript.status],
    }


def render_progress(progress: BatchProgress) -> dict[str, Any]:
    """Return the JSON of the progress of a batch."""
    total = sum(progress.counts.values())
    completed, failed = progress.count("completed"), progress.count("failed")
    processing = progress.count("processing")
    return {
        "batch_id": progress.id,
        "status": progress.status,
        "total_files": total,
        "files_completed": completed,
        "files_failed": failed,
        "files_processing": processing,
        "estimated_audio_seconds": round(progress.audio_seconds, 3),
        "estimated_completion_seconds": round(progress.completion_seconds, 3),
        "total_jobs": total,
        "completed_jobs": completed,
        "failed_jobs": failed,
        "processing_jobs": processing,
        "queued_jobs": progress.count("waiting", "queued"),
    }


def render_result(transcript: Transcript, media: Media) -> dict[str, Any]:
    """Return the JSON of a file's transcript: ``result`` if it is completed, ``errors`` if it failed."""
    shown: dict[str, Any] = {
        "file_id": media.id,
        "filename": media.original_filename,
        "status": TRANSCRIPT_STATUS[transcript.status],
    }
    if transcript.result is not None:
        shown["result"] = {
            "text": transcript.result.get("text", ""),
            "segments": transcript.result.get("segments", []),
            "words": transcript.result.get("words", []),
            "duration_ms": transcript.duration_ms,
            "language": "en",
            "model": transcript.model,
        }
    if transcript.status == "failed":
        shown["errors"] = [{"error_code": transcript.error_code, "error_message": transcript.error_message}]
    return shown
