"""Media: the recordings that came by the speech routes. ``moves.MEDIA`` lists their statuses."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state import work
from appliance.state.database import Reader, Row, Transaction, columns
from appliance.state.moves import MEDIA, MediaStatus


@dataclass(frozen=True)
class Media:
    """A recording as it is now. ``size_bytes`` is known once its bytes have arrived."""

    sequence: int
    id: str
    tenant_id: int
    batch_id: str | None
    original_filename: str
    content_type: str
    size_bytes: int | None
    estimated_duration_seconds: float | None
    object_key: str
    etag: str | None
    upload_expires_at: float | None
    status: MediaStatus
    error_code: str | None
    error_message: str | None
    created_at: float


SELECT = f"SELECT {columns(Media)} FROM media"


def insert_media(
    tx: Transaction,
    media_id: str,
    tenant_id: int,
    *,
    status: MediaStatus,
    object_key: str,
    original_filename: str = "",
    content_type: str = "application/octet-stream",
    size_bytes: int | None = None,
    batch_id: str | None = None,
    estimated_duration_seconds: float | None = None,
    upload_expires_at: float | None = None,
) -> None:
    """Store new media."""
    tx.insert(
        "media",
        id=media_id,
        tenant_id=tenant_id,
        status=status,
        object_key=object_key,
        original_filename=original_filename,
        content_type=content_type,
        size_bytes=size_bytes,
        batch_id=batch_id,
        estimated_duration_seconds=estimated_duration_seconds,
        upload_expires_at=upload_expires_at,
    )


def get_media(db: Reader, tenant_id: int, media_id: str) -> Media | None:
    """Return the tenant's media of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND tenant_id = ?", [media_id, tenant_id])
    return row and _media(row)


def find_media(db: Reader, media_id: str) -> Media | None:
    """Return the media of this id, of any tenant, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [media_id])
    return row and _media(row)


def list_batch(db: Reader, tenant_id: int, batch_id: str) -> list[Media]:
    """Return the media of one batch upload, in its order; an unknown batch has none."""
    rows = db.all(f"{SELECT} WHERE batch_id = ? AND tenant_id = ? ORDER BY sequence", [batch_id, tenant_id])
    return [_media(row) for row in rows]


def find_by_key(db: Reader, object_key: str) -> Media | None:
    """Return the media whose bytes are stored under this key, or None."""
    row = db.one(f"{SELECT} WHERE object_key = ?", [object_key])
    return row and _media(row)


def list_pending(db: Reader, seconds: float) -> list[Media]:
    """Return media that has been pending for ``seconds`` or longer, the first to expire first."""
    rows = db.all(
        f"{SELECT} WHERE status = 'pending' AND created_at < unixepoch('subsec') - ? ORDER BY upload_expires_at",
        [seconds],
    )
    return [_media(row) for row in rows]


def mark_stored(tx: Transaction, media_id: str, leaving: MediaStatus, size_bytes: int, etag: str) -> bool:
    """Move from ``leaving`` to stored."""
    return tx.move(MEDIA, media_id, leaving, "stored", size_bytes=size_bytes, etag=etag)


def mark_failed(tx: Transaction, media_id: str, leaving: MediaStatus, code: str, message: str) -> bool:
    """Move from ``leaving`` to failed, with the reason."""
    return tx.move(MEDIA, media_id, leaving, "failed", error_code=code, error_message=message)


def delete_media(tx: Transaction, media_id: str) -> None:
    """Remove media with its transcripts and its work."""
    work.forget(tx, media_id)
    tx.change("DELETE FROM media WHERE id = ?", [media_id])


def _media(row: Row) -> Media:
    return Media(**dict(row))
