"""The mean embedding of each recording, for search. Vectors of different models are never compared."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Database


@dataclass(frozen=True)
class Embedding:
    """The mean vector of a recording: ``vector`` is little-endian float32 of unit length."""

    sequence: int
    audio_id: str
    vector: bytes


def insert_embedding(db: Database, audio_id: str, tenant_id: int, model: str, vector: bytes) -> None:
    """Store a recording's vector. Inside a transaction."""
    db.change(
        "INSERT INTO embeddings (audio_id, tenant_id, model, vector) VALUES (?, ?, ?, ?)",
        [audio_id, tenant_id, model, vector],
    )


def model_of(db: Database, audio_id: str) -> str | None:
    """The model that embedded a recording, or None."""
    row = db.one("SELECT model FROM embeddings WHERE audio_id = ?", [audio_id])
    return str(row["model"]) if row else None


def count_embeddings(db: Database, tenant_id: int, model: str) -> tuple[int, int]:
    """How many vectors a tenant has of a model, and the sequence of the last."""
    row = db.one(
        "SELECT count(*) AS n, coalesce(max(sequence), 0) AS last FROM embeddings WHERE tenant_id = ? AND model = ?",
        [tenant_id, model],
    )
    assert row is not None
    return int(row["n"]), int(row["last"])


def list_embeddings(db: Database, tenant_id: int, model: str, after: int) -> list[Embedding]:
    """A tenant's vectors of a model in order of their sequence, after ``after``."""
    rows = db.all(
        """
        SELECT sequence, audio_id, vector FROM embeddings
        WHERE tenant_id = ? AND model = ? AND sequence > ? ORDER BY sequence
        """,
        [tenant_id, model, after],
    )
    return [Embedding(**dict(row)) for row in rows]


def audio_ids(db: Database, dataset_id: str) -> set[str]:
    """The audio of a dataset that has a vector."""
    rows = db.all(
        "SELECT e.audio_id FROM embeddings e JOIN audio a ON a.id = e.audio_id WHERE a.dataset_id = ?", [dataset_id]
    )
    return {str(row["audio_id"]) for row in rows}
