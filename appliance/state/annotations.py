"""Annotations of recordings: stretches of a dataset's audio that a person labeled.

They are the rows of the table ``annotations`` that belong to no set; ``annotation_sets.py`` has the others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from appliance.state.database import Reader, Transaction, columns

Presence = Literal["present", "absent", "unsure"]


@dataclass(frozen=True)
class Annotation:
    """A labeled stretch of a recording; times in whole milliseconds, ``start_ms < end_ms``.

    ``absent`` says that the label is not there, and ``unsure`` that nobody can tell.
    """

    id: str
    artifact_type: str
    start_ms: int
    end_ms: int
    created_at: float
    presence: Presence = "present"


ORDER = "ORDER BY start_ms, end_ms, rowid"


def insert_annotations(
    tx: Transaction, audio_id: str, rows: Sequence[tuple[str, str, int, int, Presence]]
) -> list[Annotation]:
    """Store annotations, each as (id, artifact_type, start_ms, end_ms, presence).

    Returns them in order of their start.
    """
    for annotation_id, artifact_type, start_ms, end_ms, presence in rows:
        tx.insert(
            "annotations",
            ("created_at",),
            id=annotation_id,
            audio_id=audio_id,
            artifact_type=artifact_type,
            start_ms=start_ms,
            end_ms=end_ms,
            presence=presence,
        )
    ids = json.dumps([row[0] for row in rows])
    sql = f"SELECT {columns(Annotation)} FROM annotations WHERE id IN (SELECT value FROM json_each(?)) {ORDER}"
    return [Annotation(**dict(row)) for row in tx.all(sql, [ids])]


def list_annotations(db: Reader, audio_id: str, limit: int = -1, offset: int = 0) -> list[Annotation]:
    """Return the annotations of a recording in order of their start."""
    rows = db.all(
        f"""
        SELECT {columns(Annotation)} FROM annotations WHERE audio_id = ? AND set_id IS NULL
        {ORDER} LIMIT ? OFFSET ?
        """,
        [audio_id, limit, offset],
    )
    return [Annotation(**dict(row)) for row in rows]


def count_annotations(db: Reader, audio_id: str) -> int:
    """Return the number of annotations of a recording."""
    sql = "SELECT count(*) FROM annotations WHERE audio_id = ? AND set_id IS NULL"
    return int(db.all(sql, [audio_id])[0][0])


def list_types(db: Reader, dataset_id: str) -> list[str]:
    """Return the types that annotations of a dataset's recordings have, in order of their names."""
    rows = db.all(
        """
        SELECT DISTINCT n.artifact_type FROM annotations n JOIN audio a ON a.id = n.audio_id
        WHERE a.dataset_id = ? AND n.set_id IS NULL ORDER BY 1
        """,
        [dataset_id],
    )
    return [row["artifact_type"] for row in rows]


def delete_annotation(tx: Transaction, audio_id: str, annotation_id: str) -> bool:
    """Remove an annotation. Returns False if there is none of this id."""
    sql = "DELETE FROM annotations WHERE audio_id = ? AND set_id IS NULL AND id = ?"
    return tx.change(sql, [audio_id, annotation_id]) == 1
