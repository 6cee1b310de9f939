"""The files of inference jobs and their detections. ``moves.FILE`` lists their statuses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from appliance.state import webhooks, work
from appliance.state.database import Reader, Row, Transaction, columns, where
from appliance.state.moves import FILE, FileStatus
from appliance.state.tenants import EVERYBODY, Whose
from appliance.state.verdicts import FileVerdict


@dataclass(frozen=True)
class FileDetection:
    """An event in a file; times in whole milliseconds, confidence 0 to 1, source ``model`` or ``stream``."""

    artifact_type: str
    start_ms: int
    end_ms: int
    confidence: float
    source: str = "model"


@dataclass(frozen=True)
class InferenceFile:
    """A file as it is now."""

    sequence: int
    id: str
    job_id: str
    original_filename: str
    content_type: str
    declared_size_bytes: int
    object_key: str
    upload_key: str | None  # None if the bytes were uploaded under the object key, as by the first release
    upload_expires_at: float
    etag: str | None
    multipart_id: str | None  # in storage, of an upload in parts
    awaits_copy: bool  # whether the confirmed bytes, which have this tag, are still under the upload key
    status: FileStatus
    error_code: str | None
    error_message: str | None
    duration_ms: int | None
    num_detections: int  # that are stored
    detections_truncated: bool  # whether the model found more
    scores_etag: str | None  # None if its scores are not kept
    scores_bytes: int | None
    original_removed_at: float | None
    config: dict[str, Any] | None  # in effect for its detections; None if it is the job's
    client_config: dict[str, Any] | None  # what the client set of it
    verdict: FileVerdict | None  # by the rules of its tenant; None if the tenant has no rules
    verdict_reasons: list[str]

    @property
    def folder(self) -> str:
        """The prefix of all its object keys."""
        return self.object_key.rpartition("/")[0]

    @property
    def scores_key(self) -> str:
        """The object key of its kept scores."""
        return f"{self.folder}/scores"


SELECT = f"SELECT {columns(InferenceFile)} FROM inference_files"
TENANT = "(SELECT j.tenant_id FROM inference_jobs j WHERE j.id = inference_files.job_id)"


def insert_file(
    tx: Transaction,
    file_id: str,
    job_id: str,
    *,
    original_filename: str,
    content_type: str,
    declared_size_bytes: int,
    object_key: str,
    upload_key: str | None = None,
    upload_expires_at: float,
    multipart_id: str | None = None,
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
        upload_key=upload_key,
        upload_expires_at=upload_expires_at,
        multipart_id=multipart_id,
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


def find_by_upload_key(db: Reader, upload_key: str) -> InferenceFile | None:
    """Return the file whose bytes are uploaded under this key, or None."""
    row = db.one(f"{SELECT} WHERE upload_key = ?", [upload_key])
    return row and _file(row)


def count_open_parts(db: Reader) -> tuple[int, int]:
    """Return how many uploads in parts are open, and how many bytes their files were declared to have."""
    row = db.one(
        "SELECT count(*) AS uploads, coalesce(sum(declared_size_bytes), 0) AS bytes FROM inference_files "
        "WHERE multipart_id IS NOT NULL AND status = 'pending'"
    )
    return (row["uploads"], row["bytes"]) if row else (0, 0)


def find_by_multipart_id(db: Reader, multipart_id: str) -> InferenceFile | None:
    """Return the file whose upload in parts has this id, or None."""
    row = db.one(f"{SELECT} WHERE multipart_id = ?", [multipart_id])
    return row and _file(row)


def extend_upload(tx: Transaction, file_id: str, expires_at: float) -> None:
    """Let a pending upload in parts go on until ``expires_at``."""
    tx.change(
        "UPDATE inference_files SET upload_expires_at = ? WHERE id = ? AND status = 'pending'",
        [expires_at, file_id],
    )


def list_files(
    db: Reader,
    job_id: str,
    *,
    status: FileStatus | None = None,
    verdict: FileVerdict | None = None,
    text: str | None = None,
    after: int = 0,
    limit: int = -1,
) -> list[InferenceFile]:
    """Return the job's files in the order in which their uploads were requested, from the sequence ``after`` on.

    With ``text`` only those that have it in their name, in whatever case.
    """
    filters = {"job_id": job_id, "status": status, "verdict": verdict}
    rows = db.all(
        f"""
        {SELECT} WHERE {where(**filters)} AND sequence > :after
            AND (:text IS NULL OR instr(lower(original_filename), lower(:text)))
        ORDER BY sequence LIMIT :limit
        """,
        filters | {"text": text, "after": after, "limit": limit},
    )
    return [_file(row) for row in rows]


def list_same(db: Reader, job_id: str, files: Sequence[InferenceFile]) -> list[InferenceFile]:
    """Return the completed files of a job that have the bytes or the name of one of ``files``, in their order."""
    rows = db.all(
        f"""
        {SELECT} WHERE job_id = ? AND status = 'completed' AND (
            etag IN (SELECT value FROM json_each(?)) OR original_filename IN (SELECT value FROM json_each(?))
        ) ORDER BY sequence
        """,
        [job_id, json.dumps([file.etag for file in files]), json.dumps([file.original_filename for file in files])],
    )
    return [_file(row) for row in rows]


def list_worst(db: Reader, job_id: str, limit: int) -> list[InferenceFile]:
    """Return completed files of a job, the gravest verdict first, then the most detections."""
    rows = db.all(
        f"""
        {SELECT} WHERE job_id = ? AND status = 'completed'
        ORDER BY CASE verdict WHEN 'fail' THEN 0 WHEN 'review' THEN 1 ELSE 2 END, num_detections DESC, sequence LIMIT ?
        """,
        [job_id, limit],
    )
    return [_file(row) for row in rows]


def count_verdicts(db: Reader, job_id: str) -> dict[str | None, int]:
    """Return how many completed files of a job have each verdict."""
    sql = "SELECT verdict, count(*) AS files FROM inference_files WHERE job_id = ? AND status = 'completed' GROUP BY 1"
    return {row["verdict"]: row["files"] for row in db.all(sql, [job_id])}


def list_detections(db: Reader, files: Iterable[InferenceFile]) -> dict[str, list[FileDetection]]:
    """Return the detections of files by file id. A file without detections is not a key."""
    detections: dict[str, list[FileDetection]] = {}
    rows = db.all(
        """
        SELECT file_id, artifact_type, start_ms, end_ms, confidence, source FROM detections
        WHERE file_id IN (SELECT value FROM json_each(?)) ORDER BY file_id, position
        """,
        [json.dumps([file.id for file in files])],
    )
    for row in rows:
        detection = FileDetection(*(row[name] for name in FileDetection.__dataclass_fields__))
        detections.setdefault(row["file_id"], []).append(detection)
    return detections


def first_error(db: Reader, job_id: str) -> str | None:
    """Return the message of the job's first failed file, or None."""
    row = db.one(
        "SELECT error_message FROM inference_files WHERE job_id = ? AND status = 'failed' ORDER BY sequence LIMIT 1",
        [job_id],
    )
    return row and str(row["error_message"])


def list_expired(db: Reader, limit: int) -> list[InferenceFile]:
    """Return pending files whose upload form has expired, oldest first."""
    rows = db.all(
        f"{SELECT} WHERE status = 'pending' AND upload_expires_at < unixepoch('subsec') "
        "ORDER BY upload_expires_at LIMIT ?",
        [limit],
    )
    return [_file(row) for row in rows]


def list_with_old_original(db: Reader, seconds: float, limit: int, whose: Whose = EVERYBODY) -> list[InferenceFile]:
    """Return files at an end whose original is still stored and that have not changed for ``seconds``."""
    rows = db.all(
        f"""
        {SELECT} WHERE original_removed_at IS NULL AND updated_at < unixepoch('subsec') - ?
            AND status IN ('completed', 'failed', 'cancelled') AND {whose.condition(TENANT)}
        ORDER BY updated_at LIMIT ?
        """,
        [seconds, limit],
    )
    return [_file(row) for row in rows]


def list_with_old_scores(db: Reader, seconds: float, limit: int, whose: Whose = EVERYBODY) -> list[InferenceFile]:
    """Return files whose scores are kept and that have not changed for ``seconds``."""
    rows = db.all(
        f"""
        {SELECT} WHERE scores_bytes IS NOT NULL AND updated_at < unixepoch('subsec') - ?
            AND {whose.condition(TENANT)}
        ORDER BY updated_at LIMIT ?
        """,
        [seconds, limit],
    )
    return [_file(row) for row in rows]


def set_scores(tx: Transaction, file_id: str, etag: str | None, size_bytes: int | None) -> None:
    """Set the ETag and the size in bytes of a file's kept scores. Both are None if it has no kept scores."""
    tx.change(
        """
        UPDATE inference_files SET scores_etag = ?1, scores_bytes = ?2,
            derived_bytes = derived_bytes - coalesce(scores_bytes, 0) + coalesce(?2, 0)
        WHERE id = ?3
        """,
        [etag, size_bytes, file_id],
    )


def set_waveform(tx: Transaction, file_id: str, size_bytes: int) -> bool:
    """Note how large the stored waveform of a file is. Returns whether there is such a file."""
    row = tx.one(
        """
        UPDATE inference_files SET waveform_bytes = ?1, derived_bytes = derived_bytes - waveform_bytes + ?1
        WHERE id = ?2 RETURNING id
        """,
        [size_bytes, file_id],
    )
    return row is not None


def mark_original_removed(tx: Transaction, file_id: str) -> None:
    """Note that the original is no longer stored."""
    tx.change(
        "UPDATE inference_files SET original_removed_at = unixepoch('subsec'), awaits_copy = 0 WHERE id = ?", [file_id]
    )


def mark_queued(
    tx: Transaction, file_id: str, leaving: FileStatus, object_key: str, etag: str, *, awaits_copy: bool = False
) -> bool:
    """Move from ``leaving``, pending or failed, to queued, with the object that holds the bytes, or will hold them."""
    values = {"object_key": object_key, "etag": etag, "awaits_copy": awaits_copy}
    return tx.move(
        FILE, file_id, leaving, "queued", **values, error_code=None, error_message=None, original_removed_at=None
    )


def mark_copied(tx: Transaction, file_id: str, object_key: str, etag: str) -> FileStatus | None:
    """Note that the confirmed bytes are copied. Returns the status, or None if the file does not await that."""
    row = tx.one(
        "UPDATE inference_files SET object_key = ?, etag = ?, awaits_copy = 0 WHERE id = ? AND awaits_copy "
        "RETURNING status",
        [object_key, etag, file_id],
    )
    return row and row["status"]


def mark_lost(tx: Transaction, file_id: str, code: str, message: str) -> bool:
    """Note that the confirmed bytes cannot be copied: move from queued to failed. A cancelled file stays cancelled."""
    if tx.move(FILE, file_id, "queued", "failed", error_code=code, error_message=message, etag=None, awaits_copy=False):
        return True
    tx.change("UPDATE inference_files SET etag = NULL, awaits_copy = 0 WHERE id = ? AND awaits_copy", [file_id])
    return False


def mark_processing(tx: Transaction, file_id: str) -> bool:
    """Move from queued to processing."""
    return tx.move(FILE, file_id, "queued", "processing")


def mark_released(tx: Transaction, file_id: str) -> bool:
    """Move from processing back to queued."""
    return tx.move(FILE, file_id, "processing", "queued")


def mark_failed(tx: Transaction, file_id: str, leaving: FileStatus, code: str, message: str) -> bool:
    """Move from ``leaving`` to failed, with the reason."""
    return tx.move(FILE, file_id, leaving, "failed", error_code=code, error_message=message)


def mark_completed(
    tx: Transaction, file_id: str, duration_ms: int, detections: Sequence[FileDetection], *, truncated: bool = False
) -> bool:
    """Move from processing to completed, and store the detections, which are ``truncated`` if more were found."""
    counts = {"num_detections": len(detections), "detections_truncated": truncated}
    if not tx.move(FILE, file_id, "processing", "completed", duration_ms=duration_ms, **counts):
        return False
    _insert_detections(tx, file_id, detections)
    return True


def replace_detections(
    tx: Transaction,
    file_id: str,
    detections: Sequence[FileDetection],
    *,
    truncated: bool,
    config: dict[str, Any],
    client_config: dict[str, Any],
) -> bool:
    """Store other detections of a completed file, with the settings that gave them."""
    counts = {"num_detections": len(detections), "detections_truncated": truncated}
    configs = {"config": json.dumps(config), "client_config": json.dumps(client_config)}
    if not tx.update(FILE, file_id, "completed", **counts, **configs):
        return False
    tx.change("DELETE FROM detections WHERE file_id = ?", [file_id])
    _insert_detections(tx, file_id, detections)
    return True


def pin_config(tx: Transaction, job_id: str, config: dict[str, Any], client_config: dict[str, Any]) -> None:
    """Give the completed files that have none settings of their own, before those of their job change."""
    tx.change(
        """
        UPDATE inference_files SET config = ?, client_config = ?
        WHERE job_id = ? AND status = 'completed' AND config IS NULL
        """,
        [json.dumps(config), json.dumps(client_config), job_id],
    )


def _insert_detections(tx: Transaction, file_id: str, detections: Sequence[FileDetection]) -> None:
    for position, detection in enumerate(detections):
        tx.insert("detections", (), file_id=file_id, position=position, **asdict(detection))


def count_status(db: Reader, job_id: str, *statuses: FileStatus) -> int:
    """Return how many files of the job have one of these statuses."""
    sql = f"SELECT count(*) FROM inference_files WHERE job_id = ? AND status IN ({', '.join('?' for _ in statuses)})"
    return int(db.all(sql, [job_id, *statuses])[0][0])


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


def delete_file(tx: Transaction, file_id: str) -> None:
    """Remove a file with its detections, its work and the webhooks about it."""
    work.forget(tx, file_id)
    webhooks.delete_of_file(tx, file_id)
    tx.change("DELETE FROM inference_files WHERE id = ?", [file_id])


def _file(row: Row) -> InferenceFile:
    configs = {name: row[name] and json.loads(row[name]) for name in ("config", "client_config", "verdict_reasons")}
    flags = {name: bool(row[name]) for name in ("awaits_copy", "detections_truncated")}
    return InferenceFile(**dict(row) | configs | flags)
