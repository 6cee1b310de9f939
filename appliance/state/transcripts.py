"""What is asked of media: a transcript, or detections where the model is for detection.

waiting (for its media) → queued → processing → completed, or failed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from appliance.state.database import Database, Row


@dataclass(frozen=True)
class Transcript:
    """A request as it stands. ``result`` : ``{"text", "segments": […], "words": […]}`` or ``{"detections": […]}``."""

    sequence: int
    id: str
    tenant_id: int
    media_id: str
    batch_id: str | None
    model: str  # <name>@<version>
    options: dict[str, Any]  # as the client asked, to be shown again
    callback_url: str | None
    status: str
    progress: float  # 0 to 1
    result: dict[str, Any] | None
    duration_ms: int | None
    error_code: str | None
    error_message: str | None
    created_at: float
    updated_at: float


SELECT = """
    SELECT sequence, id, tenant_id, media_id, batch_id, model, options, callback_url, status, progress, result,
        duration_ms, error_code, error_message, created_at, updated_at
    FROM transcripts
"""


def insert_transcript(
    db: Database,
    transcript_id: str,
    tenant_id: int,
    media_id: str,
    *,
    model: str,
    options: dict[str, Any],
    status: str,
    batch_id: str | None = None,
    callback_url: str | None = None,
) -> None:
    """Store a new request, ``waiting`` or ``queued``. Inside a transaction."""
    db.change(
        """
        INSERT INTO transcripts (id, tenant_id, media_id, model, options, status, batch_id, callback_url,
            created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, unixepoch('subsec'), unixepoch('subsec'))
        """,
        [transcript_id, tenant_id, media_id, model, json.dumps(options), status, batch_id, callback_url],
    )


def get_transcript(db: Database, tenant_id: int, transcript_id: str) -> Transcript | None:
    """The tenant's transcript of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND tenant_id = ?", [transcript_id, tenant_id])
    return row and _transcript(row)


def find_transcript(db: Database, transcript_id: str) -> Transcript | None:
    """The transcript of this id, whoever's it is, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [transcript_id])
    return row and _transcript(row)


def list_transcripts(
    db: Database,
    tenant_id: int,
    *,
    batch_id: str | None = None,
    media_id: str | None = None,
    status: str | None = None,
    before: int | None = None,
    after: int | None = None,
    limit: int = -1,
) -> list[Transcript]:
    """The tenant's transcripts, newest first."""
    rows = db.all(
        f"""
        {SELECT} WHERE tenant_id = :tenant AND (:batch IS NULL OR batch_id = :batch)
            AND (:media IS NULL OR media_id = :media) AND (:status IS NULL OR status = :status)
            AND (:before IS NULL OR sequence < :before) AND (:after IS NULL OR sequence > :after)
        ORDER BY sequence DESC LIMIT :limit
        """,
        {
            "tenant": tenant_id,
            "batch": batch_id,
            "media": media_id,
            "status": status,
            "before": before,
            "after": after,
            "limit": limit,
        },
    )
    return [_transcript(row) for row in rows]


def list_page(
    db: Database,
    tenant_id: int,
    *,
    statuses: tuple[str, ...],
    created_on: str | None,
    before: int | None,
    after: int | None,
    limit: int,
) -> list[Transcript]:
    """The tenant's transcripts nearest below ``before`` or above ``after``, in ``statuses``, newest first."""
    upward = after is not None and before is None
    rows = db.all(
        f"""
        {SELECT} WHERE tenant_id = :tenant AND (:before IS NULL OR sequence < :before)
            AND (:after IS NULL OR sequence > :after) AND (:created IS NULL OR date(created_at, 'unixepoch') = :created)
            AND (:statuses = '[]' OR status IN (SELECT value FROM json_each(:statuses)))
        ORDER BY sequence {"ASC" if upward else "DESC"} LIMIT :limit
        """,
        {
            "tenant": tenant_id,
            "before": before,
            "after": after,
            "created": created_on,
            "statuses": json.dumps(statuses),
            "limit": limit,
        },
    )
    found = [_transcript(row) for row in rows]
    return found[::-1] if upward else found


def mark_queued(db: Database, transcript_id: str) -> bool:
    """waiting → queued. Inside a transaction."""
    return db.leave("transcripts", transcript_id, "waiting", "status = 'queued'", [])


def mark_processing(db: Database, transcript_id: str) -> bool:
    """queued → processing. Inside a transaction."""
    return db.leave("transcripts", transcript_id, "queued", "status = 'processing', progress = 0", [])


def mark_requeued(db: Database, transcript_id: str) -> bool:
    """processing → queued. Inside a transaction."""
    return db.leave("transcripts", transcript_id, "processing", "status = 'queued', progress = 0", [])


def set_progress(db: Database, transcript_id: str, progress: float) -> bool:
    """Note how far it is, 0 to 1. Inside a transaction."""
    return db.leave("transcripts", transcript_id, "processing", "progress = ?", [progress])


def mark_completed(db: Database, transcript_id: str, duration_ms: int, result: dict[str, Any]) -> bool:
    """processing → completed. Inside a transaction."""
    assignments = "status = 'completed', progress = 1, duration_ms = ?, result = ?"
    return db.leave("transcripts", transcript_id, "processing", assignments, [duration_ms, json.dumps(result)])


def mark_failed(db: Database, transcript_id: str, leaving: str, code: str, message: str) -> bool:
    """``leaving`` → failed. Inside a transaction."""
    return db.leave(
        "transcripts", transcript_id, leaving, "status = 'failed', error_code = ?, error_message = ?", [code, message]
    )


def delete_transcript(db: Database, transcript_id: str) -> None:
    """Remove a transcript and its work. Inside a transaction."""
    db.change("DELETE FROM work WHERE kind = 'transcription' AND subject_id = ?", [transcript_id])
    db.change("DELETE FROM transcripts WHERE id = ?", [transcript_id])


def _transcript(row: Row) -> Transcript:
    fields = dict(row)
    result = json.loads(row["result"]) if row["result"] else None
    return Transcript(**fields | {"options": json.loads(row["options"]), "result": result})
