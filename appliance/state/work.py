"""The queue of background work: a row, a kind, a lease.

A piece of work waits for the threads of a pool, on behalf of a tenant, in a group such as a job. It is ready, put off
until ``run_after``, or leased. Triggers keep the number of ready and leased pieces of each tenant and of each group in
``work_turns``, so that a claim is a few look-ups in an index, however much is queued.

A lease has a token that grows with every claim: a worker that lost its lease can finish nothing, however late it wakes
up. Leases end by the machine's monotonic clock, which nobody sets. It starts again when the machine starts, and then
the worker is a new one, which releases the leases of the one before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
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
    lost_engines: int  # how often an engine was lost that had it
    lease_owner: str | None
    lease_token: int
    request_id: str | None  # the client's request that led to it


# The tenants of a pool that have ready work and may have more in progress.
TENANTS = """
    FROM work_turns INDEXED BY work_turns_tenants
    WHERE ready > 0 AND group_id = '' AND pool = :pool AND (:limit IS NULL OR busy < :limit)
"""


@dataclass(frozen=True)
class Depth:
    """How much work of one kind is ready, put off and in progress, and how long the oldest ready piece has waited."""

    kind: str
    ready: int
    put_off: int
    busy: int
    oldest_seconds: float


WAKE_AT_ONCE = 500  # retries of a receiver that was down for hours may all be due at the same moment


def enqueue(
    tx: Transaction,
    kind: str,
    subject_id: str,
    *,
    pool: str,
    tenant_id: int,
    group_id: str,
    request_id: str | None = None,
) -> None:
    """Add work for the threads of ``pool``, unless the same work is queued already."""
    tx.change(
        """
        INSERT INTO work (kind, subject_id, pool, tenant_id, group_id, request_id, ready_at)
        VALUES (?, ?, ?, ?, ?, ?, unixepoch('subsec'))
        ON CONFLICT (kind, subject_id) DO NOTHING
        """,
        [kind, subject_id, pool, tenant_id, group_id, request_id],
    )


def is_ready(db: Reader, pool: str, tenant_limit: int | None = None) -> bool:
    """Whether a claim would find work, or would wake some. A read, which locks nobody out."""
    sql = f"""
        SELECT EXISTS (SELECT 1 {TENANTS})
        OR EXISTS (SELECT 1 FROM work WHERE pool = :pool AND run_after <= unixepoch('subsec'))
        """
    return bool(db.all(sql, {"pool": pool, "limit": tenant_limit})[0][0])


def depths(db: Reader) -> list[Depth]:
    """Return the depth of each kind that was ever queued. It costs the same however much is queued."""
    oldest = """
        SELECT unixepoch('subsec') - ready_at FROM work INDEXED BY work_oldest
        WHERE kind = k.kind AND lease_owner IS NULL AND run_after IS NULL ORDER BY id LIMIT 1
        """
    rows = db.all(f"SELECT kind, ready, put_off, busy, max(0.0, coalesce(({oldest}), 0.0)) FROM work_kinds k")
    return [Depth(*row) for row in rows]


def oldest_ready(db: Reader, pools: Iterable[str]) -> int | None:
    """Return the id of the oldest ready work, or of work of a pool that was put off and is due. None if there is none.

    It costs the same however much is queued: a look-up for each kind and for each pool. Trainings are left out: they
    wait for each other, for hours.
    """
    return db.all(
        """
        SELECT min(id) FROM (
            SELECT (
                SELECT id FROM work INDEXED BY work_oldest
                WHERE kind = k.kind AND lease_owner IS NULL AND run_after IS NULL ORDER BY id LIMIT 1
            ) AS id FROM work_kinds k WHERE k.kind <> 'training'
            UNION ALL
            SELECT (
                SELECT id FROM work INDEXED BY work_put_off
                WHERE pool = p.value AND run_after <= unixepoch('subsec') ORDER BY run_after LIMIT 1
            ) FROM json_each(?) p
        )
        """,
        [json.dumps([*pools])],
    )[0][0]


def is_busy(db: Reader) -> bool:
    """Whether any work is in progress, other than a training, beside which all else goes on."""
    sql = "SELECT 1 FROM work WHERE lease_owner IS NOT NULL AND pool <> 'training' LIMIT 1"
    return db.one(sql) is not None


def claim(tx: Transaction, owner: str, lease_seconds: float, pool: str, tenant_limit: int | None = None) -> Work | None:
    """Lease the next piece of work of a pool. Returns None if none is ready. ``claim_many`` says which is the next."""
    return next(iter(claim_many(tx, owner, lease_seconds, pool, 1, tenant_limit)), None)


def claim_many(
    tx: Transaction, owner: str, lease_seconds: float, pool: str, most: int, tenant_limit: int | None = None
) -> list[Work]:
    """Lease up to ``most`` pieces of work of a pool, in the order in which single claims would.

    The tenant with the fewest pieces in progress goes first, and within it the group with the fewest; among equals the
    one whose last turn is longest ago. Within a group the oldest goes first. A tenant with ``tenant_limit`` pieces in
    progress in this pool gets no more.
    """
    _wake(tx, pool)
    works: list[Work] = []
    while len(works) < most and (work := _claim_next(tx, owner, lease_seconds, pool, tenant_limit)):
        works.append(work)
    return works


def _claim_next(tx: Transaction, owner: str, lease_seconds: float, pool: str, tenant_limit: int | None) -> Work | None:
    row = tx.one(
        f"""
        UPDATE work SET lease_owner = :owner, lease_token = lease_token + 1, lease_until = :until
        WHERE id = (
            SELECT id FROM work
            WHERE lease_owner IS NULL AND run_after IS NULL
            AND (pool, tenant_id, group_id) = (
                SELECT pool, tenant_id, group_id FROM work_turns
                WHERE ready > 0 AND group_id <> '' AND pool = :pool
                AND tenant_id = (SELECT tenant_id {TENANTS} ORDER BY busy, turn, id LIMIT 1)
                ORDER BY busy, turn, id LIMIT 1
            )
            ORDER BY id LIMIT 1
        )
        RETURNING {columns(Work)}
        """,
        {"owner": owner, "until": time.monotonic() + lease_seconds, "pool": pool, "limit": tenant_limit},
    )
    return row and _work(row)


def claim_suspect(tx: Transaction, owner: str, lease_seconds: float, lost_leases: int) -> Work | None:
    """Lease the oldest work that lost its lease at least ``lost_leases`` times. Returns None if none is ready.

    A training is never meant: it has a process of its own, and takes hours.
    """
    row = tx.one(
        f"""
        UPDATE work SET lease_owner = :owner, lease_token = lease_token + 1, lease_until = :until
        WHERE id = (
            SELECT min(id) FROM work
            WHERE lost_leases > 0 AND lost_leases >= :lost AND pool <> 'training'
            AND lease_owner IS NULL AND run_after IS NULL
        )
        RETURNING {columns(Work)}
        """,
        {"owner": owner, "until": time.monotonic() + lease_seconds, "lost": lost_leases},
    )
    return row and _work(row)


def extend(tx: Transaction, works: Iterable[Work], lease_seconds: float) -> set[Work]:
    """Extend the leases of ``works``, in one statement. Returns the work whose lease was still held.

    Each lease is matched by its token, never by its owner alone: work that its owner has released must become free.
    """
    by_id = {work.id: work for work in works}
    now = time.monotonic()
    rows = tx.all(
        """
        UPDATE work SET lease_until = ? FROM json_each(?) AS held
        WHERE work.id = held.value ->> 0 AND lease_owner = held.value ->> 1 AND lease_token = held.value ->> 2
            AND lease_until >= ?
        RETURNING work.id
        """,
        [now + lease_seconds, json.dumps([_fence(work) for work in by_id.values()]), now],
    )
    return {by_id[row["id"]] for row in rows}


def finish(tx: Transaction, work: Work) -> None:
    """Remove finished work, in the transaction of its result. Raises LeaseLost."""
    if tx.change("DELETE FROM work WHERE id = ? AND lease_owner = ? AND lease_token = ?", _fence(work)) != 1:
        raise LeaseLost(f"Work {work.id} was claimed by another worker, or cancelled.")


def release(tx: Transaction, work: Work, *, attempts: int, delay_seconds: float, lost_engines: int = 0) -> None:
    """Free the work for another try after ``delay_seconds``, and count what is given. Raises LeaseLost."""
    changed = tx.change(
        """
        UPDATE work SET lease_owner = NULL, lease_until = NULL, attempts = attempts + ?,
            lost_engines = lost_engines + ?, run_after = unixepoch('subsec') + nullif(?, 0.0)
        WHERE id = ? AND lease_owner = ? AND lease_token = ?
        """,
        [attempts, lost_engines, delay_seconds, *_fence(work)],
    )
    if changed != 1:
        raise LeaseLost(f"Work {work.id} was claimed by another worker, or cancelled.")


def release_expired(tx: Transaction) -> list[Work]:
    """Free all work whose lease ran out, and count a lost lease on each. Returns that work."""
    return _release(tx, "lease_until < ?", "1", [time.monotonic()])


def release_strangers(tx: Transaction, counted_pools: Sequence[str]) -> list[Work]:
    """Free all work that no registered worker holds, and count a lost lease on that of some pools. Returns all of it.

    For a worker that starts and knows that its predecessor is dead, because it holds the worker's lock.
    """
    counted = "pool IN (SELECT value FROM json_each(?))"
    return _release(tx, "lease_owner NOT IN (SELECT id FROM workers)", counted, [json.dumps(counted_pools)])


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


def _wake(tx: Transaction, pool: str) -> None:
    """Make put off work ready whose time has come."""
    tx.change(
        """
        UPDATE work SET run_after = NULL, ready_at = unixepoch('subsec') WHERE id IN (
            SELECT id FROM work WHERE pool = ? AND run_after <= unixepoch('subsec') ORDER BY run_after LIMIT ?
        )
        """,
        [pool, WAKE_AT_ONCE],
    )


def _release(tx: Transaction, condition: str, counted: str, values: list[object]) -> list[Work]:
    rows = tx.all(
        f"""
        UPDATE work SET lease_owner = NULL, lease_until = NULL, lost_leases = lost_leases + ({counted})
        WHERE lease_owner IS NOT NULL AND {condition} RETURNING {columns(Work)}
        """,
        values,
    )
    return [_work(row) for row in rows]


def _fence(work: Work) -> list[object]:
    return [work.id, work.lease_owner, work.lease_token]


def _work(row: Row) -> Work:
    return Work(**dict(row))
