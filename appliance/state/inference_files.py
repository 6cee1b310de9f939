"""The files of inference jobs and their detections. ``moves.FILE`` lists their statuses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from appliance.state.database import Reader, Row, Transaction, columns
from appliance.state.moves import FILE, FileStatus


@dataclass(frozen=True)
class FileDetection:
    """An event in a file; times in whole milliseconds, confidence 0 to 1."""

    artifact_type: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True)
class InferenceFile:
    """A file as it is now."""

    id: str
    job_id: str
    original_filename: str
    content_type: str
    declared_size_bytes: int
    object_key: str
    upload_expires_at: float
    etag: str | None
    status: FileStatus
    error_code: str | None
    error_message: str | None
    duration_ms: int | None


SELECT = f"SELECT {columns(InferenceFile)} FROM inference_files"


def insert_file(
    tx: Transaction,
    file_id: str,
    job_id: str,
    *,
    original_filename: str,
    content_type: str,
    declared_size_bytes: int,
    object_key: str,
    upload_expires_at: float,
) -> None:
    """Store a new pending file."""
    tx.insert(
        "inference_files",
        id=file_id,
        job_id=job_id,
        original_filename=original_filename,
        content_type=content_type,
        declared_size_bytes=declared_size_bytes,
        object_key=object_key,
        upload_expires_at=upload_expires_at,
        status="pending",
    )


def get_file(db: Reader, job_id: str, file_id: str) -> InferenceFile | None:
    """Return the job's file of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND job_id = ?", [file_id, job_id])
    return row and _file(row)


def find_file(db: Reader, file_id: str) -> InferenceFile | None:
    """Return the file of this id in any job, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [file_id])
    return row and _file(row)


def list_files(db: Reader, job_id: str) -> list[InferenceFile]:
    """Return the job's files in the order in which their uploads were requested."""
    return [_file(row) for row in db.all(f"{SELECT} WHERE job_id = ? ORDER BY sequence", [job_id])]


def list_detections(db: Reader, job_id: str, file_id: str | None = None) -> dict[str, list[FileDetection]]:
    """Return detections by file id, of one file or of the whole job. A file without detections is not a key."""
    detections: dict[str, list[FileDetection]] = {}
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
        detections.setdefault(row["file_id"], []).append(detection)
    return detections


def first_error(db: Reader, job_id: str) -> str | None:
    """Return the message of the job's first failed file, or None."""
    row = db.one(
        "SELECT error_message FROM inference_files WHERE job_id = ? AND status = 'failed' ORDER BY sequence LIMIT 1",
        [job_id],
    )
    return row and str(row["error_message"])


def list_overdue(db: Reader, grace_seconds: float, limit: int) -> list[InferenceFile]:
    """Return pending files whose upload form expired more than ``grace_seconds`` ago, oldest first."""
    rows = db.all(
        f"{SELECT} WHERE status = 'pending' AND upload_expires_at < unixepoch('subsec') - ? "
        "ORDER BY upload_expires_at LIMIT ?",
        [grace_seconds, limit],
    )
    return [_file(row) for row in rows]


def mark_queued(tx: Transaction, file_id: str, etag: str) -> bool:
    """Move from pending to queued."""
    return tx.move(FILE, file_id, "pending", "queued", etag=etag)


def mark_processing(tx: Transaction, file_id: str) -> bool:
    """Move from queued to processing."""
    return tx.move(FILE, file_id, "queued", "processing")


def mark_released(tx: Transaction, file_id: str) -> bool:
    """Move from processing back to queued."""
    return tx.move(FILE, file_id, "processing", "queued")


def mark_failed(tx: Transaction, file_id: str, leaving: FileStatus, code: str, message: str) -> bool:
    """Move from ``leaving`` to failed, with the reason."""
    return tx.move(FILE, file_id, leaving, "failed", error_code=code, error_message=message)


def mark_completed(tx: Transaction, file_id: str, duration_ms: int, detections: Iterable[FileDetection]) -> bool:
    """Move from processing to completed, and store the detections."""
    if not tx.move(FILE, file_id, "processing", "completed", duration_ms=duration_ms):
        return False
    for position, detection in enumerate(detections):
        tx.insert("detections", (), file_id=file_id, position=position, **asdict(detection))
    return True


def has_unfinished(db: Reader, job_id: str) -> bool:
    """Whether the job has a file that is not at an end."""
    unfinished = FILE.leaving_for("cancelled")
    row = db.one(
        f"SELECT 1 FROM inference_files WHERE job_id = ? AND status IN ({', '.join('?' for _ in unfinished)}) LIMIT 1",
        [job_id, *unfinished],
    )
    return row is not None


def cancel_files(tx: Transaction, job_id: str) -> None:
    """Move every file of the job that is not at an end to cancelled."""
    unfinished = FILE.leaving_for("cancelled")
    tx.change(
        f"""
        UPDATE inference_files SET status = 'cancelled', updated_at = unixepoch('subsec')
        WHERE job_id = ? AND status IN ({", ".join("?" for _ in unfinished)})
        """,
        [job_id, *unfinished],
    )


def _file(row: Row) -> InferenceFile:
    return InferenceFile(**dict(row))
