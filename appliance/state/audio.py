"""The audio of datasets: uploaded, normalized, embedded. ``moves.AUDIO`` lists its statuses."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state import work
from appliance.state.database import Reader, Row, Transaction, columns
from appliance.state.moves import AUDIO, AudioStatus


@dataclass(frozen=True)
class Audio:
    """A recording of a dataset as it is now; its properties are None until it is normalized."""

    sequence: int
    id: str
    dataset_id: str
    original_filename: str
    content_type: str
    declared_size_bytes: int
    object_key: str
    upload_key: str | None  # None if the bytes were uploaded under the object key, as by the first release
    upload_expires_at: float
    etag: str | None
    awaits_copy: bool  # whether the confirmed bytes, which have this tag, are still under the upload key
    status: AudioStatus
    error_code: str | None
    error_message: str | None
    duration_ms: int | None
    sample_rate_hz: int | None
    num_channels: int | None
    codec: str | None
    sha256: str | None
    created_at: float
    group_name: str | None = None  # of recordings that are of one origin, such as a voice or a session

    @property
    def folder(self) -> str:
        """The prefix of all its object keys."""
        return self.object_key.rpartition("/")[0]

    @property
    def normalized_key(self) -> str:
        """The object key of its 16 kHz mono WAV."""
        return f"{self.folder}/normalized"

    @property
    def embedding_key(self) -> str:
        """The object key of its vectors, one row for each window."""
        return f"{self.folder}/embedding"

    @property
    def object_keys(self) -> tuple[str, ...]:
        """The keys of every object that it may have."""
        uploads = (self.upload_key,) if self.upload_key else ()
        return (self.object_key, self.normalized_key, self.embedding_key, *uploads)


@dataclass(frozen=True)
class Properties:
    """The properties of a recording, measured while it is normalized."""

    duration_ms: int
    sample_rate_hz: int
    num_channels: int
    codec: str
    sha256: str


SELECT = f"SELECT {columns(Audio)} FROM audio"


def insert_audio(
    tx: Transaction,
    audio_id: str,
    dataset_id: str,
    *,
    original_filename: str,
    content_type: str,
    declared_size_bytes: int,
    object_key: str,
    upload_key: str | None = None,
    upload_expires_at: float,
    group_name: str | None = None,
) -> None:
    """Store new pending audio."""
    tx.insert(
        "audio",
        id=audio_id,
        dataset_id=dataset_id,
        original_filename=original_filename,
        content_type=content_type,
        declared_size_bytes=declared_size_bytes,
        object_key=object_key,
        upload_key=upload_key,
        upload_expires_at=upload_expires_at,
        status="pending",
        group_name=group_name,
    )


def set_group(tx: Transaction, audio_id: str, group_name: str | None) -> None:
    """Put a recording into a group, or in none."""
    tx.change("UPDATE audio SET group_name = ?, updated_at = unixepoch('subsec') WHERE id = ?", [group_name, audio_id])


def get_audio(db: Reader, dataset_id: str, audio_id: str) -> Audio | None:
    """Return the dataset's audio of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND dataset_id = ?", [audio_id, dataset_id])
    return row and _audio(row)


def find_audio(db: Reader, audio_id: str) -> Audio | None:
    """Return the audio of this id in any dataset, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [audio_id])
    return row and _audio(row)


def find_by_upload_key(db: Reader, upload_key: str) -> Audio | None:
    """Return the audio whose bytes are uploaded under this key, or None."""
    row = db.one(f"{SELECT} WHERE upload_key = ?", [upload_key])
    return row and _audio(row)


def list_audio(
    db: Reader,
    dataset_id: str,
    *,
    status: str | None = None,
    before: int | None = None,
    limit: int = -1,
    offset: int = 0,
) -> list[Audio]:
    """Return the dataset's audio, newest first; with ``before`` only what has a smaller sequence."""
    rows = db.all(
        f"""
        {SELECT} WHERE dataset_id = ?1 AND (?2 IS NULL OR status = ?2) AND (?3 IS NULL OR sequence < ?3)
        ORDER BY sequence DESC LIMIT ?4 OFFSET ?5
        """,
        [dataset_id, status, before, limit, offset],
    )
    return [_audio(row) for row in rows]


def count_audio(db: Reader, dataset_id: str, status: str | None) -> int:
    """Return the number of the dataset's recordings."""
    sql = "SELECT count(*) FROM audio WHERE dataset_id = ?1 AND (?2 IS NULL OR status = ?2)"
    return int(db.all(sql, [dataset_id, status])[0][0])


def list_expired(db: Reader, limit: int) -> list[Audio]:
    """Return pending audio whose upload form has expired, oldest first."""
    rows = db.all(
        f"{SELECT} WHERE status = 'pending' AND upload_expires_at < unixepoch('subsec') "
        "ORDER BY upload_expires_at LIMIT ?",
        [limit],
    )
    return [_audio(row) for row in rows]


def mark_normalizing(
    tx: Transaction, audio_id: str, leaving: AudioStatus, object_key: str, etag: str, *, awaits_copy: bool = False
) -> bool:
    """Move from ``leaving``, pending or failed, to normalizing, with the object that holds the bytes, or will."""
    values = {"object_key": object_key, "etag": etag, "awaits_copy": awaits_copy}
    return tx.move(AUDIO, audio_id, leaving, "normalizing", **values, error_code=None, error_message=None)


def mark_copied(tx: Transaction, audio_id: str, object_key: str, etag: str) -> bool:
    """Note that the confirmed bytes are copied. Returns False if the audio does not await that."""
    changed = tx.change(
        "UPDATE audio SET object_key = ?, etag = ?, awaits_copy = 0 WHERE id = ? AND awaits_copy",
        [object_key, etag, audio_id],
    )
    return changed == 1


def mark_lost(tx: Transaction, audio_id: str, code: str, message: str) -> bool:
    """Move from normalizing to failed, because the confirmed bytes cannot be copied."""
    return tx.move(
        AUDIO, audio_id, "normalizing", "failed", error_code=code, error_message=message, etag=None, awaits_copy=False
    )


def mark_embedding(tx: Transaction, audio_id: str, properties: Properties) -> bool:
    """Move from normalizing to embedding, with the measured properties."""
    return tx.move(AUDIO, audio_id, "normalizing", "embedding", **vars(properties))


def add_derived_bytes(tx: Transaction, audio_id: str, size_bytes: int) -> None:
    """Note that an object of this size was made of the audio."""
    tx.change("UPDATE audio SET derived_bytes = derived_bytes + ? WHERE id = ?", [size_bytes, audio_id])


def mark_ready(tx: Transaction, audio_id: str) -> bool:
    """Move from embedding to ready."""
    return tx.move(AUDIO, audio_id, "embedding", "ready")


def mark_failed(tx: Transaction, audio_id: str, leaving: AudioStatus, code: str, message: str) -> bool:
    """Move from ``leaving`` to failed, with the reason."""
    return tx.move(AUDIO, audio_id, leaving, "failed", error_code=code, error_message=message)


def delete_audio(tx: Transaction, audio_id: str) -> None:
    """Remove audio with its embedding, its annotations and its work."""
    work.forget(tx, audio_id)
    tx.change("DELETE FROM audio WHERE id = ?", [audio_id])


def _audio(row: Row) -> Audio:
    return Audio(**dict(row) | {"awaits_copy": bool(row["awaits_copy"])})
