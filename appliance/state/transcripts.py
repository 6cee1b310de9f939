"""Transcripts of media, or its detections if the model is for detection. ``moves.TRANSCRIPT`` lists their statuses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from appliance.state import work
from appliance.state.database import Reader, Row, Transaction, columns
from appliance.state.moves import TRANSCRIPT, TranscriptStatus


@dataclass(frozen=True)
class Transcript:
    """A transcript as it is now.

    ``result`` is ``{"text", "segments": […], "words": […]}``, or ``{"detections": […]}`` of a model for detection.
    """

    sequence: int
    id: str
    tenant_id: int
    media_id: str
    batch_id: str | None
    model: str  # <name>@<version>
    options: dict[str, Any]  # as the client sent them
    callback_url: str | None
    status: TranscriptStatus
    progress: float  # 0 to 1
    result: dict[str, Any] | None
    duration_ms: int | None
    error_code: str | None
    error_message: str | None
    created_at: float
    updated_at: float


SELECT = f"SELECT {columns(Transcript)} FROM transcripts"


def insert_transcript(
    tx: Transaction,
    transcript_id: str,
    tenant_id: int,
    media_id: str,
    *,
    model: str,
    options: dict[str, Any],
    status: TranscriptStatus,
    batch_id: str | None = None,
    callback_url: str | None = None,
) -> None:
    """Store a new transcript, ``waiting`` or ``queued``."""
    tx.insert(
        "transcripts",
        id=transcript_id,
        tenant_id=tenant_id,
        media_id=media_id,
        model=model,
        options=json.dumps(options),
        status=status,
        batch_id=batch_id,
        callback_url=callback_url,
    )


def get_transcript(db: Reader, tenant_id: int, transcript_id: str) -> Transcript | None:
    """Return the tenant's transcript of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND tenant_id = ?", [transcript_id, tenant_id])
    return row and _transcript(row)


def find_transcript(db: Reader, transcript_id: str) -> Transcript | None:
    """Return the transcript of this id, of any tenant, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [transcript_id])
    return row and _transcript(row)


def list_batch(db: Reader, tenant_id: int, batch_id: str) -> list[Transcript]:
    """Return the tenant's transcripts of one batch, in its order."""
    rows = db.all(f"{SELECT} WHERE tenant_id = ? AND batch_id = ? ORDER BY sequence", [tenant_id, batch_id])
    return [_transcript(row) for row in rows]


def list_of_media(db: Reader, media_id: str, status: str | None = None) -> list[Transcript]:
    """Return the transcripts of one recording, newest first; with ``status`` only those that have it."""
    rows = db.all(
        f"{SELECT} WHERE media_id = ?1 AND (?2 IS NULL OR status = ?2) ORDER BY sequence DESC", [media_id, status]
    )
    return [_transcript(row) for row in rows]


def list_page(
    db: Reader,
    tenant_id: int,
    *,
    statuses: tuple[str, ...],
    created_on: str | None,
    before: int | None,
    after: int | None,
    limit: int,
) -> list[Transcript]:
    """Return the tenant's transcripts nearest below ``before`` or above ``after``, in ``statuses``, newest first."""
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
    page = [_transcript(row) for row in rows]
    return page[::-1] if upward else page


def mark_queued(tx: Transaction, transcript_id: str) -> bool:
    """Move from waiting to queued."""
    return tx.move(TRANSCRIPT, transcript_id, "waiting", "queued")


def mark_processing(tx: Transaction, transcript_id: str) -> bool:
    """Move from queued to processing."""
    return tx.move(TRANSCRIPT, transcript_id, "queued", "processing", progress=0)


def mark_released(tx: Transaction, transcript_id: str) -> bool:
    """Move from processing back to queued."""
    return tx.move(TRANSCRIPT, transcript_id, "processing", "queued", progress=0)


def set_progress(tx: Transaction, transcript_id: str, progress: float) -> bool:
    """Store the progress, 0 to 1, of a transcript in processing."""
    return tx.update(TRANSCRIPT, transcript_id, "processing", progress=progress)


def mark_completed(tx: Transaction, transcript_id: str, duration_ms: int, result: dict[str, Any]) -> bool:
    """Move from processing to completed, with the result."""
    return tx.move(
        TRANSCRIPT,
        transcript_id,
        "processing",
        "completed",
        progress=1,
        duration_ms=duration_ms,
        result=json.dumps(result),
    )


def mark_failed(tx: Transaction, transcript_id: str, leaving: TranscriptStatus, code: str, message: str) -> bool:
    """Move from ``leaving`` to failed, with the reason."""
    return tx.move(TRANSCRIPT, transcript_id, leaving, "failed", error_code=code, error_message=message)


def delete_transcript(tx: Transaction, transcript_id: str) -> None:
    """Remove a transcript and its work."""
    work.forget(tx, transcript_id)
    tx.change("DELETE FROM transcripts WHERE id = ?", [transcript_id])


def _transcript(row: Row) -> Transcript:
    result = json.loads(row["result"]) if row["result"] else None
    return Transcript(**dict(row) | {"options": json.loads(row["options"]), "result": result})
