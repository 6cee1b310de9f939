"""Transcripts of media, or its detections if the model is for detection. ``moves.TRANSCRIPT`` lists their statuses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from appliance.state import webhooks, work
from appliance.state.database import Reader, Row, Transaction, columns
from appliance.state.moves import TRANSCRIPT, Route, TranscriptStatus


@dataclass(frozen=True)
class Transcript:
    """A transcript as it is now.

    ``result`` is ``{"text", "segments": […], "words": […]}``, or of a model for detection
    ``{"detections": […], "detections_truncated": bool}``.
    """

    sequence: int
    id: str
    tenant_id: int
    route: Route
    media_id: str
    batch_id: str | None
    model: str  # <name>@<version>
    options: dict[str, Any]  # as the client sent them
    callback_url: str | None
    callback_header_name: str | None
    callback_header_value: str | None = field(repr=False)  # a secret of the client
    status: TranscriptStatus
    progress: float  # 0 to 1
    result: dict[str, Any] | None
    duration_ms: int | None
    error_code: str | None
    error_message: str | None
    created_at: float
    updated_at: float
    request_id: str | None  # of the request that created it


SELECT = f"SELECT {columns(Transcript)} FROM transcripts"


def insert_transcript(
    tx: Transaction,
    transcript_id: str,
    tenant_id: int,
    media_id: str,
    *,
    route: Route,
    model: str,
    options: dict[str, Any],
    status: TranscriptStatus,
    batch_id: str | None = None,
    callback_url: str | None = None,
    callback_header: tuple[str, str] | None = None,
    request_id: str | None = None,
) -> None:
    """Store a new transcript, ``waiting`` or ``queued``."""
    tx.insert(
        "transcripts",
        id=transcript_id,
        tenant_id=tenant_id,
        route=route,
        media_id=media_id,
        model=model,
        options=json.dumps(options),
        status=status,
        batch_id=batch_id,
        callback_url=callback_url,
        callback_header_name=callback_header and callback_header[0],
        callback_header_value=callback_header and callback_header[1],
        request_id=request_id,
    )


def get_transcript(db: Reader, tenant_id: int, route: Route, transcript_id: str) -> Transcript | None:
    """Return the tenant's transcript of this id that was requested by this route, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND tenant_id = ? AND route = ?", [transcript_id, tenant_id, route])
    return row and _transcript(row)


def find_transcript(db: Reader, transcript_id: str) -> Transcript | None:
    """Return the transcript of this id, of any tenant, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [transcript_id])
    return row and _transcript(row)


def list_batch(
    db: Reader,
    tenant_id: int,
    batch_id: str,
    statuses: tuple[str, ...] = TRANSCRIPT.statuses,
    *,
    offset: int = 0,
    limit: int = -1,
) -> list[Transcript]:
    """Return the tenant's transcripts of one batch in ``statuses``, in its order, from the ``offset``-th on."""
    rows = db.all(
        f"""
        {SELECT} WHERE tenant_id = ? AND batch_id = ? AND status IN (SELECT value FROM json_each(?))
        ORDER BY sequence LIMIT ? OFFSET ?
        """,
        [tenant_id, batch_id, json.dumps(statuses), limit, offset],
    )
    return [_transcript(row) for row in rows]


def count_open(db: Reader, model: str, tenant_id: int | None = None) -> int:
    """Return how many transcripts with this model, ``<name>@<version>``, are not at an end.

    With a tenant only its own.
    """
    sql = """
        SELECT count(*) FROM transcripts
        WHERE model = ? AND status IN ('waiting', 'queued', 'processing') AND tenant_id = coalesce(?, tenant_id)
        """
    return int(db.all(sql, [model, tenant_id])[0][0])


def count_batch(db: Reader, tenant_id: int, batch_id: str) -> dict[TranscriptStatus, int]:
    """Return how many transcripts of one batch have each status. An unknown batch has none."""
    rows = db.all(
        "SELECT status, count(*) AS total FROM transcripts WHERE tenant_id = ? AND batch_id = ? GROUP BY status",
        [tenant_id, batch_id],
    )
    return {row["status"]: row["total"] for row in rows}


def estimated_seconds(db: Reader, tenant_id: int, batch_id: str) -> tuple[float, float]:
    """Return the seconds of audio of a batch, as far as its headers say, of all its files and of the unfinished."""
    row = db.one(
        """
        SELECT
            total(m.estimated_duration_seconds) AS whole,
            total(m.estimated_duration_seconds) FILTER (WHERE t.status NOT IN ('completed', 'failed')) AS unfinished
        FROM transcripts t JOIN media m ON m.id = t.media_id WHERE t.tenant_id = ? AND t.batch_id = ?
        """,
        [tenant_id, batch_id],
    )
    return (row["whole"], row["unfinished"]) if row else (0.0, 0.0)


def list_of_media(db: Reader, media_id: str, status: str | None = None) -> list[Transcript]:
    """Return the transcripts of one recording, newest first; with ``status`` only those that have it."""
    rows = db.all(
        f"{SELECT} WHERE media_id = ?1 AND (?2 IS NULL OR status = ?2) ORDER BY sequence DESC", [media_id, status]
    )
    return [_transcript(row) for row in rows]


def list_page(
    db: Reader,
    tenant_id: int,
    route: Route,
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
        {SELECT} WHERE tenant_id = :tenant AND route = :route AND (:before IS NULL OR sequence < :before)
            AND (:after IS NULL OR sequence > :after) AND (:created IS NULL OR date(created_at, 'unixepoch') = :created)
            AND (:statuses = '[]' OR status IN (SELECT value FROM json_each(:statuses)))
        ORDER BY sequence {"ASC" if upward else "DESC"} LIMIT :limit
        """,
        {
            "tenant": tenant_id,
            "route": route,
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
    """Remove a transcript, its work and the webhooks about it."""
    work.forget(tx, transcript_id)
    webhooks.delete_of(tx, transcript_id)
    tx.change("DELETE FROM transcripts WHERE id = ?", [transcript_id])


def _transcript(row: Row) -> Transcript:
    result = json.loads(row["result"]) if row["result"] else None
    return Transcript(**dict(row) | {"options": json.loads(row["options"]), "result": result})
