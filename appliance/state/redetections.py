"""Requests to detect again in files that are completed, each until it is done. One that failed stays, with the reason.

A file has one request at most. A newer one takes the place of an older one, also while that is worked on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from appliance.state.database import Reader, Row, Transaction, columns


@dataclass(frozen=True)
class Redetection:
    """A request. ``number`` grows with each; ``choices`` is what the client set; the last two say why it failed."""

    file_id: str
    number: int
    choices: dict[str, Any]
    with_model: bool
    error_code: str | None
    error_message: str | None

    @property
    def status(self) -> Literal["queued", "failed"]:
        """Whether it waits for the worker or has failed."""
        return "failed" if self.error_code else "queued"


SELECT = f"SELECT {columns(Redetection)} FROM redetections"


def request(tx: Transaction, file_id: str, choices: dict[str, Any], *, with_model: bool) -> None:
    """Store a request in place of an older one of the file."""
    tx.change(
        """
        INSERT INTO redetections (file_id, number, choices, with_model)
        SELECT ?1, 1 + coalesce(max(number), 0), ?2, ?3 FROM redetections WHERE true
        ON CONFLICT (file_id) DO UPDATE SET number = excluded.number, choices = excluded.choices,
            with_model = excluded.with_model, error_code = NULL, error_message = NULL
        """,
        [file_id, json.dumps(choices), with_model],
    )
    touch_file(tx, file_id)


def get(db: Reader, file_id: str) -> Redetection | None:
    """Return the request of a file, or None."""
    row = db.one(f"{SELECT} WHERE file_id = ?", [file_id])
    return row and _redetection(row)


def of_files(db: Reader, file_ids: Iterable[str]) -> dict[str, Redetection]:
    """Return the requests of files by file id. A file without one is not a key."""
    rows = db.all(f"{SELECT} WHERE file_id IN (SELECT value FROM json_each(?))", [json.dumps([*file_ids])])
    return {row["file_id"]: _redetection(row) for row in rows}


def finish(tx: Transaction, file_id: str, number: int | None = None) -> bool:
    """Remove the request of a file, or only that of a number. Returns False if there is none, or a newer one."""
    return (
        tx.change("DELETE FROM redetections WHERE file_id = ?1 AND number = coalesce(?2, number)", [file_id, number])
        > 0
    )


def mark_failed(tx: Transaction, file_id: str, code: str, message: str) -> bool:
    """Note why the file cannot be detected again. Its detections stay as they are."""
    touch_file(tx, file_id)
    sql = "UPDATE redetections SET error_code = ?, error_message = ? WHERE file_id = ?"
    return tx.change(sql, [code, message, file_id]) == 1


def touch_file(tx: Transaction, file_id: str) -> None:
    """Note that the file changed, which gives its job a new version."""
    tx.change("UPDATE inference_files SET updated_at = unixepoch('subsec') WHERE id = ?", [file_id])


def _redetection(row: Row) -> Redetection:
    return Redetection(**dict(row) | {"choices": json.loads(row["choices"]), "with_model": bool(row["with_model"])})
