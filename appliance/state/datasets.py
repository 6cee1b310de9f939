"""Datasets: named collections of a tenant's audio."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import NotFound
from appliance.state import work
from appliance.state.database import Reader, Row, Transaction, columns


@dataclass(frozen=True)
class Dataset:
    """A dataset as it is now."""

    sequence: int
    id: str
    tenant_id: int
    name: str
    description: str
    num_audio: int
    created_at: float
    updated_at: float


_COUNT = "(SELECT count(*) FROM audio WHERE dataset_id = datasets.id)"
SELECT = f"SELECT {columns(Dataset, num_audio=_COUNT)} FROM datasets"


def insert_dataset(tx: Transaction, dataset_id: str, tenant_id: int, name: str, description: str) -> None:
    """Store a new dataset."""
    tx.insert("datasets", id=dataset_id, tenant_id=tenant_id, name=name, description=description)


def get_dataset(db: Reader, tenant_id: int, dataset_id: str) -> Dataset | None:
    """Return the tenant's dataset of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND tenant_id = ?", [dataset_id, tenant_id])
    return row and _dataset(row)


def list_datasets(db: Reader, tenant_id: int, before: int | None, limit: int) -> list[Dataset]:
    """Return the tenant's datasets, newest first; with ``before`` only those with a smaller sequence."""
    rows = db.all(
        f"{SELECT} WHERE tenant_id = ?1 AND (?2 IS NULL OR sequence < ?2) ORDER BY sequence DESC LIMIT ?3",
        [tenant_id, before, limit],
    )
    return [_dataset(row) for row in rows]


def update_dataset(tx: Transaction, dataset_id: str, name: str | None, description: str | None) -> None:
    """Change the name and the description; None leaves the old one."""
    tx.change(
        """
        UPDATE datasets SET name = coalesce(?, name), description = coalesce(?, description),
            updated_at = unixepoch('subsec')
        WHERE id = ?
        """,
        [name, description, dataset_id],
    )


def delete_dataset(tx: Transaction, dataset_id: str) -> None:
    """Remove a dataset with everything that belongs to it."""
    work.forget_group(tx, dataset_id)
    tx.change("DELETE FROM datasets WHERE id = ?", [dataset_id])


def tenant_of(db: Reader, dataset_id: str) -> int:
    """Return the id of the tenant that owns the dataset. Raises NotFound."""
    row = db.one("SELECT tenant_id FROM datasets WHERE id = ?", [dataset_id])
    if row is None:
        raise NotFound("There is no such dataset.")
    return int(row["tenant_id"])


def _dataset(row: Row) -> Dataset:
    return Dataset(**dict(row))
