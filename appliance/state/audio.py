"""The audio of datasets: upload, normalise, embed.

Every transition names the state it leaves; zero rows changed means that someone else was first.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Database, Row


@dataclass(frozen=True)
class Audio:
    """A recording of a dataset as it stands; what was found in it is None until it was normalised."""

    sequence: int
    id: str
    dataset_id: str
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
    sample_rate_hz: int | None
    num_channels: int | None
    codec: str | None
    sha256: str | None
    created_at: float

    @property
    def folder(self) -> str:
        """The prefix of all its object keys."""
        return self.object_key.removesuffix("/original")

    @property
    def normalized_key(self) -> str:
        """Where its 16 kHz mono WAV is kept."""
        return f"{self.folder}/normalized"

    @property
    def embedding_key(self) -> str:
        """Where its vectors are kept, one row a window."""
        return f"{self.folder}/embedding"

    @property
    def object_keys(self) -> tuple[str, ...]:
        """Every object it may have."""
        return (self.object_key, self.normalized_key, self.embedding_key)


@dataclass(frozen=True)
class Found:
    """What normalising found in a recording."""

    duration_ms: int
    sample_rate_hz: int
    num_channels: int
    codec: str
    sha256: str


SELECT = """
    SELECT sequence, id, dataset_id, original_filename, content_type, declared_size_bytes, object_key,
        upload_expires_at, etag, status, error_code, error_message, duration_ms, sample_rate_hz, num_channels, codec,
        sha256, created_at
    FROM audio
"""


def insert_audio(
    db: Database,
    audio_id: str,
    dataset_id: str,
    *,
    original_filename: str,
    content_type: str,
    declared_size_bytes: int,
    object_key: str,
    upload_expires_at: float,
) -> None:
    """Store new pending audio. Inside a transaction."""
    db.change(
        """
        INSERT INTO audio (id, dataset_id, original_filename, content_type, declared_size_bytes, object_key,
            upload_expires_at, status, created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', unixepoch('subsec'), unixepoch('subsec'))
        """,
        [
            audio_id,
            dataset_id,
            original_filename,
            content_type,
            declared_size_bytes,
            object_key,
            upload_expires_at,
        ],
    )


def get_audio(db: Database, dataset_id: str, audio_id: str) -> Audio | None:
    """The dataset's audio of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND dataset_id = ?", [audio_id, dataset_id])
    return row and _audio(row)


def find_audio(db: Database, audio_id: str) -> Audio | None:
    """The audio of this id in whatever dataset, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [audio_id])
    return row and _audio(row)


def list_audio(
    db: Database, dataset_id: str, *, status: str | None = None, before: int | None = None, limit: int = -1
) -> list[Audio]:
    """The dataset's audio, newest first, from the one before sequence ``before`` on."""
    rows = db.all(
        f"""
        {SELECT} WHERE dataset_id = ?1 AND (?2 IS NULL OR status = ?2) AND (?3 IS NULL OR sequence < ?3)
        ORDER BY sequence DESC LIMIT ?4
        """,
        [dataset_id, status, before, limit],
    )
    return [_audio(row) for row in rows]


def list_overdue(db: Database, grace_seconds: float, limit: int) -> list[Audio]:
    """Pending audio whose form expired more than ``grace_seconds`` ago, oldest first."""
    rows = db.all(
        f"{SELECT} WHERE status = 'pending' AND upload_expires_at < unixepoch('subsec') - ? "
        "ORDER BY upload_expires_at LIMIT ?",
        [grace_seconds, limit],
    )
    return [_audio(row) for row in rows]


def mark_normalizing(db: Database, audio_id: str, etag: str) -> bool:
    """pending → normalizing. Inside a transaction."""
    return db.leave("audio", audio_id, "pending", "status = 'normalizing', etag = ?", [etag])


def mark_embedding(db: Database, audio_id: str, found: Found) -> bool:
    """normalizing → embedding, with what was found. Inside a transaction."""
    return db.leave(
        "audio",
        audio_id,
        "normalizing",
        "status = 'embedding', duration_ms = ?, sample_rate_hz = ?, num_channels = ?, codec = ?, sha256 = ?",
        [found.duration_ms, found.sample_rate_hz, found.num_channels, found.codec, found.sha256],
    )


def mark_ready(db: Database, audio_id: str) -> bool:
    """embedding → ready. Inside a transaction."""
    return db.leave("audio", audio_id, "embedding", "status = 'ready'", [])


def mark_failed(db: Database, audio_id: str, leaving: str, code: str, message: str) -> bool:
    """``leaving`` → failed. Inside a transaction."""
    return db.leave("audio", audio_id, leaving, "status = 'failed', error_code = ?, error_message = ?", [code, message])


def delete_audio(db: Database, audio_id: str) -> None:
    """Remove audio, its embedding, its annotations and its work. Inside a transaction."""
    db.change("DELETE FROM work WHERE kind IN ('normalize', 'embed') AND subject_id = ?", [audio_id])
    db.change("DELETE FROM audio WHERE id = ?", [audio_id])


def _audio(row: Row) -> Audio:
    return Audio(**dict(row))
