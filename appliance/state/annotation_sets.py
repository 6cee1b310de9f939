"""Annotation sets: the versions of a dataset's annotations. ``moves.ANNOTATION_SET`` lists their statuses.

Their annotations are the rows of the table ``annotations`` with a ``set_id``. A trigger refuses to add an annotation
to a published set and to change one there. Only the deletion of its recording or its dataset removes one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from appliance.state.database import Reader, Transaction, columns
from appliance.state.moves import ANNOTATION_SET, AnnotationSetStatus


@dataclass(frozen=True)
class AnnotationSet:
    """An annotation set as it is now."""

    id: str
    dataset_id: str
    version: int
    status: AnnotationSetStatus
    num_annotations: int
    created_at: float
    updated_at: float  # of a published set, when it was published

    @property
    def sequence(self) -> int:
        """Its place in the list of its dataset's sets."""
        return self.version


@dataclass(frozen=True)
class SetAnnotation:
    """A labeled stretch of a recording, in a set; times in whole milliseconds, confidence 0 to 1."""

    sequence: int
    id: str
    set_id: str
    audio_id: str
    artifact_type: str
    start_ms: int
    end_ms: int
    confidence: float
    created_at: float


_COUNT = "(SELECT count(*) FROM annotations WHERE set_id = annotation_sets.id)"
SELECT_SET = f"SELECT {columns(AnnotationSet, num_annotations=_COUNT)} FROM annotation_sets"
SELECT_ANNOTATION = f"SELECT {columns(SetAnnotation, sequence='rowid')} FROM annotations"
_FILTER = "set_id = :set AND (:audio IS NULL OR audio_id = :audio) AND (:type IS NULL OR artifact_type = :type)"


def insert_set(tx: Transaction, set_id: str, dataset_id: str) -> None:
    """Store a new draft, with the next version of its dataset."""
    tx.change(
        """
        INSERT INTO annotation_sets (id, dataset_id, version, status, created_at, updated_at)
        SELECT ?1, ?2, 1 + coalesce(max(version), 0), 'draft', unixepoch('subsec'), unixepoch('subsec')
        FROM annotation_sets WHERE dataset_id = ?2
        """,
        [set_id, dataset_id],
    )


def get_set(db: Reader, dataset_id: str, set_id: str) -> AnnotationSet | None:
    """Return the dataset's annotation set of this id, or None."""
    row = db.one(f"{SELECT_SET} WHERE id = ? AND dataset_id = ?", [set_id, dataset_id])
    return row and AnnotationSet(**dict(row))


def list_sets(
    db: Reader, dataset_id: str, *, status: str | None, after: int | None, limit: int, offset: int
) -> list[AnnotationSet]:
    """Return the dataset's annotation sets in order of their version; with ``after`` only those after that version."""
    rows = db.all(
        f"""
        {SELECT_SET} WHERE dataset_id = ?1 AND (?2 IS NULL OR status = ?2) AND version > coalesce(?3, 0)
        ORDER BY version LIMIT ?4 OFFSET ?5
        """,
        [dataset_id, status, after, limit, offset],
    )
    return [AnnotationSet(**dict(row)) for row in rows]


def count_sets(db: Reader, dataset_id: str, status: str | None) -> int:
    """Return the number of the dataset's annotation sets."""
    sql = "SELECT count(*) FROM annotation_sets WHERE dataset_id = ?1 AND (?2 IS NULL OR status = ?2)"
    return int(db.all(sql, [dataset_id, status])[0][0])


def mark_published(tx: Transaction, set_id: str) -> bool:
    """Move from draft to published."""
    return tx.move(ANNOTATION_SET, set_id, "draft", "published")


def durations_ms(db: Reader, dataset_id: str, audio_ids: Collection[str]) -> dict[str, int | None]:
    """Return the length of each of these recordings that the dataset has, None for one that is not ready."""
    rows = db.all(
        """
        SELECT id, iif(status = 'ready', duration_ms, NULL) AS duration_ms FROM audio
        WHERE dataset_id = ? AND id IN (SELECT value FROM json_each(?))
        """,
        [dataset_id, json.dumps(list(audio_ids))],
    )
    return {row["id"]: row["duration_ms"] for row in rows}


def insert_annotations(
    tx: Transaction, set_id: str, rows: Iterable[tuple[str, str, str, int, int, float]]
) -> list[SetAnnotation]:
    """Store annotations, each as (id, audio_id, artifact_type, start_ms, end_ms, confidence). Returns them in order."""
    ids = []
    for annotation_id, audio_id, artifact_type, start_ms, end_ms, confidence in rows:
        ids.append(annotation_id)
        tx.insert(
            "annotations",
            ("created_at",),
            id=annotation_id,
            set_id=set_id,
            audio_id=audio_id,
            artifact_type=artifact_type,
            start_ms=start_ms,
            end_ms=end_ms,
            confidence=confidence,
        )
    stored = tx.all(
        f"{SELECT_ANNOTATION} WHERE id IN (SELECT value FROM json_each(?)) ORDER BY rowid", [json.dumps(ids)]
    )
    return [SetAnnotation(**dict(row)) for row in stored]


def get_annotation(db: Reader, set_id: str, annotation_id: str) -> SetAnnotation | None:
    """Return the set's annotation of this id, or None."""
    row = db.one(f"{SELECT_ANNOTATION} WHERE set_id = ? AND id = ?", [set_id, annotation_id])
    return row and SetAnnotation(**dict(row))


def list_annotations(
    db: Reader,
    set_id: str,
    *,
    audio_id: str | None,
    artifact_type: str | None,
    after: int | None,
    limit: int,
    offset: int,
) -> list[SetAnnotation]:
    """Return the set's annotations, oldest first; with ``after`` only those of a larger sequence."""
    rows = db.all(
        f"{SELECT_ANNOTATION} WHERE {_FILTER} AND rowid > :after ORDER BY rowid LIMIT :limit OFFSET :offset",
        {
            "set": set_id,
            "audio": audio_id,
            "type": artifact_type,
            "after": after or 0,
            "limit": limit,
            "offset": offset,
        },
    )
    return [SetAnnotation(**dict(row)) for row in rows]


def count_annotations(db: Reader, set_id: str, *, audio_id: str | None, artifact_type: str | None) -> int:
    """Return the number of the set's annotations."""
    values = {"set": set_id, "audio": audio_id, "type": artifact_type}
    return int(db.all(f"SELECT count(*) FROM annotations WHERE {_FILTER}", values)[0][0])


def update_annotation(tx: Transaction, annotation_id: str, **values: Any) -> None:
    """Set the columns in ``values``."""
    assignments = ", ".join(f"{name} = ?" for name in values)
    tx.change(f"UPDATE annotations SET {assignments} WHERE id = ?", [*values.values(), annotation_id])


def delete_annotation(tx: Transaction, set_id: str, annotation_id: str) -> bool:
    """Remove an annotation. Returns False if there is none of this id."""
    return tx.change("DELETE FROM annotations WHERE set_id = ? AND id = ?", [set_id, annotation_id]) == 1
