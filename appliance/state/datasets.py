"""Datasets: named collections of a tenant's audio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from appliance.errors import NotFound
from appliance.state import work
from appliance.state.database import Reader, Row, Transaction, columns


@dataclass(frozen=True)
class ArtifactType:
    """A type that annotations of a dataset may have; the color is ``#RRGGBB``."""

    name: str
    description: str | None
    color: str


@dataclass(frozen=True)
class Dataset:
    """A dataset as it is now. If it defines no artifact types, its annotations may have any type."""

    sequence: int
    id: str
    tenant_id: int
    name: str
    description: str
    artifact_types: list[ArtifactType]
    num_audio: int
    num_annotation_sets: int
    created_at: float
    updated_at: float


_AUDIO = "(SELECT count(*) FROM audio WHERE dataset_id = datasets.id)"
_SETS = "(SELECT count(*) FROM annotation_sets WHERE dataset_id = datasets.id)"
SELECT = f"SELECT {columns(Dataset, num_audio=_AUDIO, num_annotation_sets=_SETS)} FROM datasets"


def insert_dataset(
    tx: Transaction,
    dataset_id: str,
    tenant_id: int,
    name: str,
    description: str,
    artifact_types: Sequence[ArtifactType] = (),
) -> None:
    """Store a new dataset."""
    tx.insert(
        "datasets",
        id=dataset_id,
        tenant_id=tenant_id,
        name=name,
        description=description,
        artifact_types=_to_json(artifact_types),
    )


def get_dataset(db: Reader, tenant_id: int, dataset_id: str) -> Dataset | None:
    """Return the tenant's dataset of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND tenant_id = ?", [dataset_id, tenant_id])
    return row and _dataset(row)


def list_datasets(db: Reader, tenant_id: int, before: int | None, limit: int, offset: int = 0) -> list[Dataset]:
    """Return the tenant's datasets, newest first; with ``before`` only those with a smaller sequence."""
    rows = db.all(
        f"{SELECT} WHERE tenant_id = ?1 AND (?2 IS NULL OR sequence < ?2) ORDER BY sequence DESC LIMIT ?3 OFFSET ?4",
        [tenant_id, before, limit, offset],
    )
    return [_dataset(row) for row in rows]


def count_datasets(db: Reader, tenant_id: int) -> int:
    """Return the number of the tenant's datasets."""
    return int(db.all("SELECT count(*) FROM datasets WHERE tenant_id = ?", [tenant_id])[0][0])


def update_dataset(
    tx: Transaction,
    dataset_id: str,
    name: str | None,
    description: str | None,
    artifact_types: Sequence[ArtifactType] | None = None,
) -> None:
    """Change the name, the description and the artifact types; None leaves the old ones."""
    tx.change(
        """
        UPDATE datasets SET name = coalesce(?, name), description = coalesce(?, description),
            artifact_types = coalesce(?, artifact_types), updated_at = unixepoch('subsec')
        WHERE id = ?
        """,
        [name, description, None if artifact_types is None else _to_json(artifact_types), dataset_id],
    )


def delete_dataset(tx: Transaction, dataset_id: str) -> None:
    """Remove a dataset with everything that belongs to it."""
    work.forget_group(tx, dataset_id)
    tx.change("DELETE FROM audio WHERE dataset_id = ?", [dataset_id])  # first: their use is found by their dataset
    tx.change("DELETE FROM datasets WHERE id = ?", [dataset_id])


def tenant_of(db: Reader, dataset_id: str) -> int:
    """Return the id of the tenant that owns the dataset. Raises NotFound."""
    row = db.one("SELECT tenant_id FROM datasets WHERE id = ?", [dataset_id])
    if row is None:
        raise NotFound("There is no such dataset.")
    return int(row["tenant_id"])


def _dataset(row: Row) -> Dataset:
    artifact_types = [ArtifactType(**fields) for fields in json.loads(row["artifact_types"])]
    return Dataset(**dict(row) | {"artifact_types": artifact_types})


def _to_json(artifact_types: Sequence[ArtifactType]) -> str:
    return json.dumps([asdict(artifact_type) for artifact_type in artifact_types])
