"""Datasets: named collections of a tenant's audio."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import NotFound
from appliance.state.database import Database, Row


@dataclass(frozen=True)
class Dataset:
    """A dataset as it stands."""

    sequence: int
    id: str
    tenant_id: int
    name: str
    description: str
    num_audio: int
    created_at: float
    updated_at: float


SELECT = """
    SELECT sequence, id, tenant_id, name, description,
        (SELECT count(*) FROM audio WHERE dataset_id = datasets.id) AS num_audio, created_at, updated_at
    FROM datasets
"""


def insert_dataset(db: Database, dataset_id: str, tenant_id: int, name: str, description: str) -> None:
    """Store a new dataset. Inside a transaction."""
    db.change(
        """
        INSERT INTO datasets (id, tenant_id, name, description, created_at, updated_at)
        VALUES (?, ?, ?, ?, unixepoch('subsec'), unixepoch('subsec'))
        """,
        [dataset_id, tenant_id, name, description],
    )


def get_dataset(db: Database, tenant_id: int, dataset_id: str) -> Dataset | None:
    """The tenant's dataset of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND tenant_id = ?", [dataset_id, tenant_id])
    return row and _dataset(row)


def list_datasets(db: Database, tenant_id: int, before: int | None, limit: int) -> list[Dataset]:
    """The tenant's datasets, newest first, from the one before sequence ``before`` on."""
    rows = db.all(
        f"{SELECT} WHERE tenant_id = ?1 AND (?2 IS NULL OR sequence < ?2) ORDER BY sequence DESC LIMIT ?3",
        [tenant_id, before, limit],
    )
    return [_dataset(row) for row in rows]


def update_dataset(db: Database, dataset_id: str, name: str | None, description: str | None) -> None:
    """Change what is given. Inside a transaction."""
    db.change(
        """
        UPDATE datasets SET name = coalesce(?, name), description = coalesce(?, description),
            updated_at = unixepoch('subsec')
        WHERE id = ?
        """,
        [name, description, dataset_id],
    )


def delete_dataset(db: Database, dataset_id: str) -> None:
    """Remove a dataset with all that belongs to it. Inside a transaction."""
    db.change("DELETE FROM work WHERE kind IN ('normalize', 'embed') AND group_id = ?", [dataset_id])
    db.change("DELETE FROM datasets WHERE id = ?", [dataset_id])


def tenant_of(db: Database, dataset_id: str) -> int:
    """Whose dataset it is. Raises NotFound."""
    row = db.one("SELECT tenant_id FROM datasets WHERE id = ?", [dataset_id])
    if row is None:
        raise NotFound("There is no such dataset.")
    return int(row["tenant_id"])


def _dataset(row: Row) -> Dataset:
    return Dataset(**dict(row))
