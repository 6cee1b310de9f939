"""The files of inference jobs and their detections.

Every transition names the state it leaves; zero rows changed means that someone else was first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.state.database import Database, Row


@dataclass(frozen=True)
class FileDetection:
    """An event in a file; times in whole milliseconds."""

    artifact_type: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True)
class InferenceFile:
    """A file as it stands."""

    id: str
    job_id: str
    original_filename: str
    content_type: str
    declared_size_bytes: int
    object_key: str
    upload_expires_at: float
    etag: str | None
    status: str
    error_code: str | None
    error_message: str | None
    duration_ms: int | None


SELECT = """
    SELECT id, job_id, original_filename, content_type, declared_size_bytes, object_key, upload_expires_at, etag,
        status, error_code, error_message, duration_ms
    FROM inference_files
"""


def insert_file(
    db: Database,
    file_id: str,
    job_id: str,
    *,
    original_filename: str,
    content_type: str,
    declared_size_bytes: int,
    object_key: str,
    upload_expires_at: float,
) -> None:
    """Store a new pending file. Inside a transaction."""
    db.change(
        """
        INSERT INTO inference_files (id, job_id, original_filename, content_type, declared_size_bytes, object_key,
            upload_expires_at, status, created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', unixepoch('subsec'), unixepoch('subsec'))
        """,
        [file_id, job_id, original_filename, content_type, declared_size_bytes, object_key, upload_expires_at],
    )


def get_file(db: Database, job_id: str, file_id: str) -> InferenceFile | None:
    """The job's file of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND job_id = ?", [file_id, job_id])
    return row and _file(row)


def find_file(db: Database, file_id: str) -> InferenceFile | None:
    """The file of this id in whatever job, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [file_id])
    return row and _file(row)


def list_files(db: Database, job_id: str) -> list[InferenceFile]:
    """The job's files in the order they were asked for."""
    return [_file(row) for row in db.all(f"{SELECT} WHERE job_id = ? ORDER BY sequence", [job_id])]


def list_detections(db: Database, job_id: str, file_id: str | None = None) -> dict[str, list[FileDetection]]:
    """Detections by file id, of one file or of all the job's; a file without any is not a key."""
    found: dict[str, list[FileDetection]] = {}
    rows = db.all(
        """
        SELECT d.file_id, d.artifact_type, d.start_ms, d.end_ms, d.confidence
        FROM inference_files f JOIN detections d ON d.file_id = f.id
        WHERE f.job_id = ?1 AND (?2 IS NULL OR f.id = ?2) ORDER BY d.file_id, d.position
        """,
        [job_id, file_id],
    )
    for row in rows:
        detection = FileDetection(row["artifact_type"], row["start_ms"], row["end_ms"], row["confidence"])
        found.setdefault(row["file_id"], []).append(detection)
    return found


def first_error(db: Database, job_id: str) -> str | None:
    """The message of the job's first failed file, or None."""
    row = db.one(
        "SELECT error_message FROM inference_files WHERE job_id = ? AND status = 'failed' ORDER BY sequence LIMIT 1",
        [job_id],
    )
    return row and str(row["error_message"])


def list_overdue(db: Database, grace_seconds: float, limit: int) -> list[InferenceFile]:
    """Pending files whose form expired more than ``grace_seconds`` ago, oldest first."""
    rows = db.all(
        f"{SELECT} WHERE status = 'pending' AND upload_expires_at < unixepoch('subsec') - ? "
        "ORDER BY upload_expires_at LIMIT ?",
        [grace_seconds, limit],
    )
    return [_file(row) for row in rows]


def mark_queued(db: Database, file_id: str, etag: str) -> bool:
    """pending → queued. Inside a transaction."""
    return db.leave("inference_files", file_id, "pending", "status = 'queued', etag = ?", [etag])


def mark_processing(db: Database, file_id: str) -> bool:
    """queued → processing. Inside a transaction."""
    return db.leave("inference_files", file_id, "queued", "status = 'processing'", [])


def mark_requeued(db: Database, file_id: str) -> bool:
    """processing → queued. Inside a transaction."""
    return db.leave("inference_files", file_id, "processing", "status = 'queued'", [])


def mark_failed(db: Database, file_id: str, leaving: str, code: str, message: str) -> bool:
    """``leaving`` → failed. Inside a transaction."""
    return db.leave(
        "inference_files", file_id, leaving, "status = 'failed', error_code = ?, error_message = ?", [code, message]
    )


def mark_completed(db: Database, file_id: str, duration_ms: int, detections: Iterable[FileDetection]) -> bool:
    """processing → completed, with its detections. Inside a transaction."""
    if not db.leave("inference_files", file_id, "processing", "status = 'completed', duration_ms = ?", [duration_ms]):
        return False
    for position, found in enumerate(detections):
        db.change(
            "INSERT INTO detections VALUES (?, ?, ?, ?, ?, ?)",
            [file_id, position, found.artifact_type, found.start_ms, found.end_ms, found.confidence],
        )
    return True


def _file(row: Row) -> InferenceFile:
    return InferenceFile(**dict(row))
