"""The mean embedding of each recording, for the search. Vectors of different models are never compared."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Reader, Transaction, columns


@dataclass(frozen=True)
class Embedding:
    """The mean vector of a recording: ``vector`` is little-endian float32 of unit length."""

    sequence: int
    audio_id: str
    vector: bytes


def insert_embedding(tx: Transaction, audio_id: str, tenant_id: int, model: str, vector: bytes) -> None:
    """Store a recording's vector."""
    tx.insert("embeddings", (), audio_id=audio_id, tenant_id=tenant_id, model=model, vector=vector)


def model_of(db: Reader, audio_id: str) -> str | None:
    """Return the model that embedded a recording, or None if none has."""
    row = db.one("SELECT model FROM embeddings WHERE audio_id = ?", [audio_id])
    return str(row["model"]) if row else None


def count_embeddings(db: Reader, tenant_id: int, model: str) -> tuple[int, int]:
    """Return how many vectors of a model a tenant has, and the sequence of the last one (0 if there is none)."""
    row = db.one(
        "SELECT count(*) AS n, coalesce(max(sequence), 0) AS last FROM embeddings WHERE tenant_id = ? AND model = ?",
        [tenant_id, model],
    )
    assert row is not None
    return int(row["n"]), int(row["last"])


def list_embeddings(db: Reader, tenant_id: int, model: str, after: int) -> list[Embedding]:
    """Return a tenant's vectors of a model whose sequence is larger than ``after``, in that order."""
    rows = db.all(
        f"""
        SELECT {columns(Embedding)} FROM embeddings
        WHERE tenant_id = ? AND model = ? AND sequence > ? ORDER BY sequence
        """,
        [tenant_id, model, after],
    )
    return [Embedding(**dict(row)) for row in rows]


def audio_ids(db: Reader, dataset_id: str) -> set[str]:
    """Return the ids of the dataset's audio that has a vector."""
    rows = db.all(
        "SELECT e.audio_id FROM embeddings e JOIN audio a ON a.id = e.audio_id WHERE a.dataset_id = ?", [dataset_id]
    )
    return {str(row["audio_id"]) for row in rows}
