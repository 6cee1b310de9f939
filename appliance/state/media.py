"""Media: the recordings that came by the speech routes. ``moves.MEDIA`` lists their statuses."""

from __future__ import annotations

import json
from dataclasses import dataclass

from appliance.state import work
from appliance.state.database import Reader, Row, Transaction, columns
from appliance.state.moves import MEDIA, MediaStatus, Route
from appliance.state.tenants import EVERYBODY, Whose


@dataclass(frozen=True)
class Media:
    """A recording as it is now. ``size_bytes`` is known once its bytes have arrived."""

    sequence: int
    id: str
    tenant_id: int
    route: Route
    batch_id: str | None
    original_filename: str
    content_type: str
    size_bytes: int | None
    estimated_duration_seconds: float | None
    object_key: str
    upload_key: str | None  # None if the bytes arrive under the object key
    etag: str | None
    upload_expires_at: float | None
    source_url: str | None  # where the bytes are fetched from; None if they are uploaded
    unused_since: float | None  # of media of the raw route that no transcript ever used
    original_removed_at: float | None  # when retention deleted the bytes
    status: MediaStatus
    error_code: str | None
    error_message: str | None
    created_at: float


SELECT = f"SELECT {columns(Media)} FROM media"
IN_ROUTE = "tenant_id = ? AND route = ? AND status IN (SELECT value FROM json_each(?))"


def insert_media(
    tx: Transaction,
    media_id: str,
    tenant_id: int,
    *,
    route: Route,
    status: MediaStatus,
    object_key: str,
    upload_key: str | None = None,
    original_filename: str = "",
    content_type: str = "application/octet-stream",
    size_bytes: int | None = None,
    batch_id: str | None = None,
    estimated_duration_seconds: float | None = None,
    upload_expires_at: float | None = None,
    source_url: str | None = None,
) -> None:
    """Store new media."""
    tx.insert(
        "media",
        id=media_id,
        tenant_id=tenant_id,
        route=route,
        status=status,
        object_key=object_key,
        upload_key=upload_key,
        original_filename=original_filename,
        content_type=content_type,
        size_bytes=size_bytes,
        batch_id=batch_id,
        estimated_duration_seconds=estimated_duration_seconds,
        upload_expires_at=upload_expires_at,
        source_url=source_url,
    )


def get_media(db: Reader, tenant_id: int, route: Route, media_id: str) -> Media | None:
    """Return the tenant's media of this id that came by this route, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND tenant_id = ? AND route = ?", [media_id, tenant_id, route])
    return row and _media(row)


def find_media(db: Reader, media_id: str) -> Media | None:
    """Return the media of this id, of any tenant, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [media_id])
    return row and _media(row)


def list_batch(db: Reader, tenant_id: int, batch_id: str) -> list[Media]:
    """Return the media of one batch upload, in its order; an unknown batch has none."""
    rows = db.all(f"{SELECT} WHERE batch_id = ? AND tenant_id = ? ORDER BY sequence", [batch_id, tenant_id])
    return [_media(row) for row in rows]


def list_route(
    db: Reader, tenant_id: int, route: Route, statuses: tuple[str, ...], *, offset: int, limit: int
) -> list[Media]:
    """Return the tenant's media of a route in ``statuses``, newest first, from the ``offset``-th on."""
    rows = db.all(
        f"{SELECT} WHERE {IN_ROUTE} ORDER BY sequence DESC LIMIT ? OFFSET ?",
        [tenant_id, route, json.dumps(statuses), limit, offset],
    )
    return [_media(row) for row in rows]


def count_route(db: Reader, tenant_id: int, route: Route, statuses: tuple[str, ...]) -> int:
    """Return the number of the tenant's media of a route in ``statuses``."""
    row = db.one(f"SELECT count(*) AS total FROM media WHERE {IN_ROUTE}", [tenant_id, route, json.dumps(statuses)])
    return int(row["total"]) if row else 0


def list_unused(db: Reader, days: float, limit: int) -> list[Media]:
    """Return media that no transcript has used for ``days``, the oldest first."""
    rows = db.all(
        f"{SELECT} WHERE unused_since < unixepoch('subsec') - 86400 * ? AND status <> 'pending' "
        "ORDER BY unused_since LIMIT ?",
        [days, limit],
    )
    return [_media(row) for row in rows]


def mark_unused(tx: Transaction, media_id: str) -> None:
    """Note that no transcript uses the media yet."""
    tx.change("UPDATE media SET unused_since = unixepoch('subsec') WHERE id = ?", [media_id])


def mark_used(tx: Transaction, media_id: str) -> None:
    """Note that a transcript uses the media."""
    tx.change("UPDATE media SET unused_since = NULL WHERE id = ? AND unused_since IS NOT NULL", [media_id])


def find_by_upload_key(db: Reader, upload_key: str) -> Media | None:
    """Return the media whose bytes are uploaded under this key, or None."""
    row = db.one(f"{SELECT} WHERE upload_key = ?", [upload_key])
    return row and _media(row)


def list_pending(db: Reader, seconds: float) -> list[Media]:
    """Return uploads that have been pending for ``seconds`` or longer, the first to expire first."""
    rows = db.all(
        f"""
        {SELECT} WHERE status = 'pending' AND source_url IS NULL AND created_at < unixepoch('subsec') - ?
        ORDER BY upload_expires_at
        """,
        [seconds],
    )
    return [_media(row) for row in rows]


def list_with_old_original(db: Reader, seconds: float, limit: int, whose: Whose = EVERYBODY) -> list[Media]:
    """Return media whose bytes are still stored, whose transcripts are all at an end, unchanged for ``seconds``."""
    rows = db.all(f"{_ended(whose)} AND original_removed_at IS NULL ORDER BY updated_at LIMIT ?", [seconds, limit])
    return [_media(row) for row in rows]


def list_ended(db: Reader, seconds: float, limit: int, whose: Whose = EVERYBODY) -> list[Media]:
    """Return media at an end, whose transcripts are all at an end, unchanged for ``seconds``."""
    return [_media(row) for row in db.all(f"{_ended(whose)} ORDER BY updated_at LIMIT ?", [seconds, limit])]


def _ended(whose: Whose) -> str:
    return f"""
        {SELECT} WHERE updated_at < unixepoch('subsec') - ?1 AND status IN ('stored', 'failed')
        AND {whose.condition("tenant_id")} AND NOT EXISTS (
            SELECT 1 FROM transcripts t WHERE t.media_id = media.id
            AND (t.status NOT IN ('completed', 'failed') OR t.updated_at > unixepoch('subsec') - ?1)
        )"""


def mark_original_removed(tx: Transaction, media_id: str) -> None:
    """Note that the bytes are no longer stored."""
    tx.change("UPDATE media SET original_removed_at = unixepoch('subsec') WHERE id = ?", [media_id])


def mark_stored(
    tx: Transaction,
    media_id: str,
    leaving: MediaStatus,
    size_bytes: int,
    etag: str,
    object_key: str | None = None,
) -> bool:
    """Move from ``leaving`` to stored; ``object_key`` is the new place of the bytes if they were moved."""
    moved = {"object_key": object_key} if object_key else {}
    return tx.move(MEDIA, media_id, leaving, "stored", size_bytes=size_bytes, etag=etag, **moved)


def mark_failed(tx: Transaction, media_id: str, leaving: MediaStatus, code: str, message: str) -> bool:
    """Move from ``leaving`` to failed, with the reason."""
    return tx.move(MEDIA, media_id, leaving, "failed", error_code=code, error_message=message)


def delete_media(tx: Transaction, media_id: str) -> None:
    """Remove media with its transcripts and its work."""
    work.forget(tx, media_id)
    tx.change("DELETE FROM media WHERE id = ?", [media_id])


def _media(row: Row) -> Media:
    return Media(**dict(row))
