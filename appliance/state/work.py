"""The queue of background work: a row, a kind, a lease.

A claim is one statement. A lease has a token that grows with every claim: a worker that lost its lease can finish
nothing, however late it wakes up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.errors import LeaseLost
from appliance.state.database import Reader, Row, Transaction, columns


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


READY = """
    w.lease_owner IS NULL AND w.run_after <= unixepoch('subsec')
    AND (:kinds IS NULL OR w.kind IN (SELECT value FROM json_each(:kinds)))
"""


def enqueue(tx: Transaction, kind: str, subject_id: str, group_id: str) -> None:
    """Add work, unless the same work is queued already."""
    tx.change(
        """
        INSERT INTO work (kind, subject_id, group_id, run_after) VALUES (?, ?, ?, unixepoch('subsec'))
        ON CONFLICT (kind, subject_id) DO NOTHING
        """,
        [kind, subject_id, group_id],
    )


def is_ready(db: Reader, kinds: Iterable[str] | None = None) -> bool:
    """Whether there is work to claim, of any kind or only of ``kinds``. A read, which locks nobody out."""
    return db.one(f"SELECT 1 FROM work w WHERE {READY} LIMIT 1", {"kinds": _json(kinds)}) is not None


def oldest_ready(db: Reader) -> int | None:
    """Return the id of the oldest work that waits for a claim, or None."""
    return db.all(
        "SELECT min(id) FROM work WHERE lease_owner IS NULL AND coalesce(run_after, 0) <= unixepoch('subsec')"
    )[0][0]


def is_busy(db: Reader) -> bool:
    """Whether any work is in progress."""
    return db.one("SELECT 1 FROM work WHERE lease_owner IS NOT NULL LIMIT 1") is not None


def claim(tx: Transaction, owner: str, lease_seconds: float, kinds: Iterable[str] | None = None) -> Work | None:
    """Lease the next piece of work, of any kind or only of ``kinds``. Returns None if none is ready.

    It is the oldest of the group that has the fewest pieces in progress, so that no group starves.
    """
    row = tx.one(
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
        RETURNING {columns(Work)}
        """,
        {"owner": owner, "seconds": lease_seconds, "kinds": _json(kinds)},
    )
    return row and _work(row)


def claim_suspect(tx: Transaction, owner: str, lease_seconds: float, lost_leases: int) -> Work | None:
    """Lease the oldest work that lost its lease at least ``lost_leases`` times. Returns None if none is ready."""
    row = tx.one(
        f"""
        UPDATE work SET
            lease_owner = :owner, lease_token = lease_token + 1, lease_until = unixepoch('subsec') + :seconds
        WHERE id = (SELECT min(w.id) FROM work w WHERE w.lost_leases >= :lost AND {READY})
        RETURNING {columns(Work)}
        """,
        {"owner": owner, "seconds": lease_seconds, "lost": lost_leases, "kinds": None},
    )
    return row and _work(row)


def extend(tx: Transaction, works: Iterable[Work], lease_seconds: float) -> set[Work]:
    """Extend the leases of ``works``. Returns the work whose lease was still held.

    Each lease is matched by its token, never by its owner alone: work that its owner has released must become free.
    """
    sql = """
        UPDATE work SET lease_until = unixepoch('subsec') + ?
        WHERE id = ? AND lease_owner = ? AND lease_token = ? AND lease_until >= unixepoch('subsec')
        """
    return {work for work in works if tx.change(sql, [lease_seconds, *_fence(work)]) == 1}


def finish(tx: Transaction, work: Work) -> None:
    """Remove finished work, in the transaction of its result. Raises LeaseLost."""
    if tx.change("DELETE FROM work WHERE id = ? AND lease_owner = ? AND lease_token = ?", _fence(work)) != 1:
        raise LeaseLost(f"Work {work.id} was claimed by another worker, or cancelled.")


def release(tx: Transaction, work: Work, *, attempts: int, delay_seconds: float) -> None:
    """Free the work for another try after ``delay_seconds``, and count ``attempts`` more. Raises LeaseLost."""
    changed = tx.change(
        """
        UPDATE work SET lease_owner = NULL, lease_until = NULL, attempts = attempts + ?,
            run_after = unixepoch('subsec') + ?
        WHERE id = ? AND lease_owner = ? AND lease_token = ?
        """,
        [attempts, delay_seconds, *_fence(work)],
    )
    if changed != 1:
        raise LeaseLost(f"Work {work.id} was claimed by another worker, or cancelled.")


def release_expired(tx: Transaction) -> list[Work]:
    """Free all work whose lease ran out, and count a lost lease on each. Returns that work."""
    return _release(tx, "lease_until < unixepoch('subsec')", "1", [])


def release_others(tx: Transaction, owner: str, counted_kinds: Iterable[str]) -> list[Work]:
    """Free all work that another worker holds, and count a lost lease if its kind is counted. Returns that work.

    For a worker that starts and knows that its predecessor is dead, because it holds the worker's lock.
    """
    counted = "kind IN (SELECT value FROM json_each(?))"
    return _release(tx, "lease_owner <> ?", counted, [_json(counted_kinds), owner])


def discard(tx: Transaction, work_ids: Iterable[int]) -> None:
    """Remove work that nobody holds."""
    for work_id in work_ids:
        tx.change("DELETE FROM work WHERE id = ? AND lease_owner IS NULL", [work_id])


def forget(tx: Transaction, subject_id: str) -> None:
    """Remove all work on a subject that is deleted, also work in progress."""
    tx.change("DELETE FROM work WHERE subject_id = ?", [subject_id])


def forget_group(tx: Transaction, group_id: str) -> None:
    """Remove all work of a group that is cancelled or deleted, also work in progress."""
    tx.change("DELETE FROM work WHERE group_id = ?", [group_id])


def _release(tx: Transaction, condition: str, counted: str, values: list[object]) -> list[Work]:
    rows = tx.all(
        f"""
        UPDATE work SET lease_owner = NULL, lease_until = NULL, lost_leases = lost_leases + ({counted})
        WHERE lease_owner IS NOT NULL AND {condition} RETURNING {columns(Work)}
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
