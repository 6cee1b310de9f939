"""Media that came in by the speech services' doors.

pending (a presigned PUT is awaited) or spooled (on local disk, on its way to storage) → stored, or failed.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Database, Row


@dataclass(frozen=True)
class Media:
    """A file as it stands; ``size_bytes`` is known once its bytes are here."""

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
    status: str
    error_code: str | None
    error_message: str | None
    created_at: float


SELECT = """
    SELECT sequence, id, tenant_id, batch_id, original_filename, content_type, size_bytes, estimated_duration_seconds,
        object_key, etag, upload_expires_at, status, error_code, error_message, created_at
    FROM media
"""


def insert_media(
    db: Database,
    media_id: str,
    tenant_id: int,
    *,
    status: str,
    object_key: str,
    original_filename: str = "",
    content_type: str = "application/octet-stream",
    size_bytes: int | None = None,
    etag: str | None = None,
    batch_id: str | None = None,
    estimated_duration_seconds: float | None = None,
    upload_expires_at: float | None = None,
) -> None:
    """Store new media. Inside a transaction."""
    db.change(
        """
        INSERT INTO media (id, tenant_id, status, object_key, original_filename, content_type, size_bytes, etag,
            batch_id, estimated_duration_seconds, upload_expires_at, created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, unixepoch('subsec'), unixepoch('subsec'))
        """,
        [
            media_id,
            tenant_id,
            status,
            object_key,
            original_filename,
            content_type,
            size_bytes,
            etag,
            batch_id,
            estimated_duration_seconds,
            upload_expires_at,
        ],
    )


def get_media(db: Database, tenant_id: int, media_id: str) -> Media | None:
    """The tenant's media of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND tenant_id = ?", [media_id, tenant_id])
    return row and _media(row)


def find_media(db: Database, media_id: str) -> Media | None:
    """The media of this id, whoever's it is, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [media_id])
    return row and _media(row)


def list_batch(db: Database, tenant_id: int, batch_id: str) -> list[Media]:
    """The media that came in one batch, in their order; none where there is no such batch."""
    rows = db.all(f"{SELECT} WHERE batch_id = ? AND tenant_id = ? ORDER BY sequence", [batch_id, tenant_id])
    return [_media(row) for row in rows]


def find_by_key(db: Database, object_key: str) -> Media | None:
    """The media whose bytes are under this key, or None."""
    row = db.one(f"{SELECT} WHERE object_key = ?", [object_key])
    return row and _media(row)


def list_pending(db: Database, seconds: float) -> list[Media]:
    """Media that have been pending for ``seconds``, those that expire first in front."""
    rows = db.all(
        f"{SELECT} WHERE status = 'pending' AND created_at < unixepoch('subsec') - ? ORDER BY upload_expires_at",
        [seconds],
    )
    return [_media(row) for row in rows]


def mark_stored(db: Database, media_id: str, leaving: str, size_bytes: int, etag: str) -> bool:
    """``leaving`` → stored. Inside a transaction."""
    return db.leave("media", media_id, leaving, "status = 'stored', size_bytes = ?, etag = ?", [size_bytes, etag])


def mark_failed(db: Database, media_id: str, leaving: str, code: str, message: str) -> bool:
    """``leaving`` → failed. Inside a transaction."""
    return db.leave("media", media_id, leaving, "status = 'failed', error_code = ?, error_message = ?", [code, message])


def delete_media(db: Database, media_id: str) -> None:
    """Remove media with the transcripts of it and its way to storage. Inside a transaction."""
    db.change("DELETE FROM work WHERE kind = 'store' AND subject_id = ?", [media_id])
    db.change("DELETE FROM media WHERE id = ?", [media_id])


def _media(row: Row) -> Media:
    return Media(**dict(row))
