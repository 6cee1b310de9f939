"""The mean embeddings of each recording, for the search. Vectors of different models are never compared.

The table ``embeddings`` has those that make audio ready. ``sound_embeddings`` has those of the learned search, which
come later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.state.database import Reader, Transaction, columns

Table = Literal["embeddings", "sound_embeddings"]


@dataclass(frozen=True)
class Embedding:
    """The mean vector of a recording: ``vector`` is little-endian float32 of unit length."""

    sequence: int
    audio_id: str
    vector: bytes


def insert_embedding(
    tx: Transaction, audio_id: str, tenant_id: int, model: str, vector: bytes, table: Table = "embeddings"
) -> None:
    """Store a recording's vector, in place of another model's."""
    tx.change(f"DELETE FROM {table} WHERE audio_id = ?", [audio_id])
    tx.insert(table, (), audio_id=audio_id, tenant_id=tenant_id, model=model, vector=vector)


def model_of(db: Reader, audio_id: str, table: Table = "embeddings") -> str | None:
    """Return the model that embedded a recording, or None if none has."""
    row = db.one(f"SELECT model FROM {table} WHERE audio_id = ?", [audio_id])
    return str(row["model"]) if row else None


def count_embeddings(db: Reader, tenant_id: int, model: str, table: Table = "embeddings") -> tuple[int, int]:
    """Return how many vectors of a model a tenant has, and the sequence of the last one (0 if there is none)."""
    row = db.one(
        f"SELECT count(*) AS n, coalesce(max(sequence), 0) AS last FROM {table} WHERE tenant_id = ? AND model = ?",
        [tenant_id, model],
    )
    assert row is not None
    return int(row["n"]), int(row["last"])


def list_embeddings(db: Reader, tenant_id: int, model: str, after: int, table: Table = "embeddings") -> list[Embedding]:
    """Return a tenant's vectors of a model whose sequence is larger than ``after``, in that order."""
    rows = db.all(
        f"""
        SELECT {columns(Embedding)} FROM {table}
        WHERE tenant_id = ? AND model = ? AND sequence > ? ORDER BY sequence
        """,
        [tenant_id, model, after],
    )
    return [Embedding(**dict(row)) for row in rows]


def list_unheard(db: Reader, model: str, after: int, limit: int) -> list[tuple[int, str, str, int]]:
    """Return ready audio that a model for the learned search has not embedded, in order of its sequence.

    Each is (sequence, audio_id, dataset_id, tenant_id); the sequences are larger than ``after``.
    """
    rows = db.all(
        """
        SELECT a.sequence, a.id, a.dataset_id, d.tenant_id FROM audio a JOIN datasets d ON d.id = a.dataset_id
        WHERE a.status = 'ready' AND a.sequence > ?
        AND NOT EXISTS (SELECT 1 FROM sound_embeddings s WHERE s.audio_id = a.id AND s.model = ?)
        ORDER BY a.sequence LIMIT ?
        """,
        [after, model, limit],
    )
    return [(int(row[0]), str(row[1]), str(row[2]), int(row[3])) for row in rows]


def audio_ids(db: Reader, dataset_id: str, table: Table = "embeddings") -> set[str]:
    """Return the ids of the dataset's audio that has a vector."""
    rows = db.all(
        f"SELECT e.audio_id FROM {table} e JOIN audio a ON a.id = e.audio_id WHERE a.dataset_id = ?", [dataset_id]
    )
    return {str(row["audio_id"]) for row in rows}
