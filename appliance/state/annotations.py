"""What people marked in the audio of datasets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.state.database import Database


@dataclass(frozen=True)
class Annotation:
    """A stretch of a recording that a person named; times in whole milliseconds, ``start_ms < end_ms``."""

    id: str
    artifact_type: str
    start_ms: int
    end_ms: int
    created_at: float


def insert_annotations(db: Database, audio_id: str, rows: Iterable[tuple[str, str, int, int]]) -> None:
    """Store annotations, each an id, a type, a start and an end. Inside a transaction."""
    for row in rows:
        db.change(
            """
            INSERT INTO annotations (audio_id, id, artifact_type, start_ms, end_ms, created_at)
            VALUES (?, ?, ?, ?, ?, unixepoch('subsec'))
            """,
            [audio_id, *row],
        )


def list_annotations(db: Database, audio_id: str) -> list[Annotation]:
    """The annotations of a recording in order of their start."""
    rows = db.all(
        """
        SELECT id, artifact_type, start_ms, end_ms, created_at FROM annotations
        WHERE audio_id = ? ORDER BY start_ms, end_ms, rowid
        """,
        [audio_id],
    )
    return [Annotation(**dict(row)) for row in rows]


def delete_annotation(db: Database, audio_id: str, annotation_id: str) -> bool:
    """Remove one; False where there is none. Inside a transaction."""
    return db.change("DELETE FROM annotations WHERE audio_id = ? AND id = ?", [audio_id, annotation_id]) == 1
