"""Reviewed stretches: where a person listened for some labels. What they did not annotate there is not there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.state.database import Reader, Row, Transaction, columns


@dataclass(frozen=True)
class ReviewedStretch:
    """A stretch of a recording and the labels that a person listened for; times in whole milliseconds."""

    id: str
    audio_id: str
    labels: list[str]
    start_ms: int
    end_ms: int
    created_at: float


SELECT = f"SELECT {columns(ReviewedStretch)} FROM reviewed_stretches"


def insert_stretch(
    tx: Transaction, stretch_id: str, audio_id: str, labels: Sequence[str], start_ms: int, end_ms: int
) -> None:
    """Store a reviewed stretch."""
    tx.insert(
        "reviewed_stretches",
        ("created_at",),
        id=stretch_id,
        audio_id=audio_id,
        labels=json.dumps([*labels], ensure_ascii=False),
        start_ms=start_ms,
        end_ms=end_ms,
    )


def list_stretches(db: Reader, audio_id: str) -> list[ReviewedStretch]:
    """Return the reviewed stretches of a recording in order of their start."""
    rows = db.all(f"{SELECT} WHERE audio_id = ? ORDER BY start_ms, end_ms, sequence", [audio_id])
    return [_stretch(row) for row in rows]


def count_stretches(db: Reader, audio_id: str) -> int:
    """Return the number of reviewed stretches of a recording."""
    return int(db.all("SELECT count(*) FROM reviewed_stretches WHERE audio_id = ?", [audio_id])[0][0])


def delete_stretch(tx: Transaction, audio_id: str, stretch_id: str) -> bool:
    """Remove a reviewed stretch. Returns False if there is none of this id."""
    return tx.change("DELETE FROM reviewed_stretches WHERE audio_id = ? AND id = ?", [audio_id, stretch_id]) == 1


def _stretch(row: Row) -> ReviewedStretch:
    return ReviewedStretch(**dict(row) | {"labels": json.loads(row["labels"])})
