"""The queue of background work: a row, a kind, a lease.

A claim is one statement. A lease carries a token that grows with every claim: a worker that lost its lease can
finish nothing, however late it wakes up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.errors import LeaseLost
from appliance.state.database import Database, Row


@dataclass(frozen=True)
class Work:
    """A piece of work as it was when it was claimed."""

    id: int
    kind: str
    subject_id: str
    attempts: int
    lost_leases: int
    lease_owner: str | None
    lease_token: int


COLUMNS = "id, kind, subject_id, attempts, lost_leases, lease_owner, lease_token"
READY = """
    w.lease_owner IS NULL AND w.run_after <= unixepoch('subsec')
    AND (:kinds IS NULL OR w.kind IN (SELECT value FROM json_each(:kinds)))
"""


def enqueue(db: Database, kind: str, subject_id: str, group_id: str) -> None:
    """Add work, unless it is there. Inside the transaction of the change that causes it."""
    db.change(
        """
        INSERT INTO work (kind, subject_id, group_id, run_after) VALUES (?, ?, ?, unixepoch('subsec'))
        ON CONFLICT (kind, subject_id) DO NOTHING
        """,
        [kind, subject_id, group_id],
    )


def is_ready(db: Database, kinds: Iterable[str] | None = None) -> bool:
    """Whether there is work to claim, of ``kinds`` alone where they are given. A read, which locks nobody out."""
    return db.one(f"SELECT 1 FROM work w WHERE {READY} LIMIT 1", {"kinds": _json(kinds)}) is not None


def claim(db: Database, owner: str, lease_seconds: float, kinds: Iterable[str] | None = None) -> Work | None:
    """Lease the next piece of work: the oldest of the group that has the fewest in progress, so that none starves.
    Of ``kinds`` alone where they are given.

    Inside a transaction. None where nothing is ready.
    """
    row = db.one(
        f"""
        UPDATE work SET
            lease_owner = :owner, lease_token = lease_token + 1, lease_until = unixepoch('subsec') + :seconds
        WHERE id = (
            SELECT min(w.id) FROM work w
            WHERE {READY}
            GROUP BY w.group_id
            ORDER BY (
                SELECT count(*) FROM work busy
                WHERE busy.group_id = w.group_id AND busy.lease_owner IS NOT NULL
            ), min(w.id)
            LIMIT 1
        )
        RETURNING {COLUMNS}
        """,
        {"owner": owner, "seconds": lease_seconds, "kinds": _json(kinds)},
    )
    return row and _work(row)


def extend(db: Database, works: Iterable[Work], lease_seconds: float) -> set[Work]:
    """Extend the leases of ``works`` that are still held; the work whose lease was. Inside a transaction.

    Each by its token, never all of an owner: work that its owner has let go of must become free.
    """
    sql = """
        UPDATE work SET lease_until = unixepoch('subsec') + ?
        WHERE id = ? AND lease_owner = ? AND lease_token = ? AND lease_until >= unixepoch('subsec')
        """
    return {work for work in works if db.change(sql, [lease_seconds, *_fence(work)]) == 1}


def finish(db: Database, work: Work) -> None:
    """Remove finished work. Inside the transaction of its result. Raises LeaseLost."""
    if db.change("DELETE FROM work WHERE id = ? AND lease_owner = ? AND lease_token = ?", _fence(work)) != 1:
        raise LeaseLost(f"Work {work.id} was taken over or cancelled.")


def give_back(db: Database, work: Work, *, attempts: int, delay_seconds: float) -> None:
    """Free the work for another try, ``attempts`` more counted. Inside a transaction. Raises LeaseLost."""
    changed = db.change(
        """
        UPDATE work SET lease_owner = NULL, lease_until = NULL, attempts = attempts + ?,
            run_after = unixepoch('subsec') + ?
        WHERE id = ? AND lease_owner = ? AND lease_token = ?
        """,
        [attempts, delay_seconds, *_fence(work)],
    )
    if changed != 1:
        raise LeaseLost(f"Work {work.id} was taken over or cancelled.")


def release_expired(db: Database) -> list[Work]:
    """Free all work whose lease ran out, one lost lease more counted on each. Inside a transaction."""
    return _release(db, "lease_until < unixepoch('subsec')", [])


def release_others(db: Database, owner: str) -> list[Work]:
    """Free all work that someone else holds. Inside a transaction.

    For a worker that starts and knows, because it holds the worker's lock, that its predecessor is dead.
    """
    return _release(db, "lease_owner <> ?", [owner])


def discard(db: Database, work_ids: Iterable[int]) -> None:
    """Remove work that nobody holds. Inside a transaction."""
    for work_id in work_ids:
        db.change("DELETE FROM work WHERE id = ? AND lease_owner IS NULL", [work_id])


def _release(db: Database, condition: str, values: list[object]) -> list[Work]:
    rows = db.all(
        f"""
        UPDATE work SET lease_owner = NULL, lease_until = NULL, lost_leases = lost_leases + 1
        WHERE lease_owner IS NOT NULL AND {condition} RETURNING {COLUMNS}
        """,
        values,
    )
    return [_work(row) for row in rows]


def _json(kinds: Iterable[str] | None) -> str | None:
    return None if kinds is None else json.dumps([*kinds])


def _fence(work: Work) -> list[object]:
    return [work.id, work.lease_owner, work.lease_token]


def _work(row: Row) -> Work:
    return Work(**dict(row))
