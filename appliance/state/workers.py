"""The worker processes: when each last gave a sign of life, and what it runs on. A box has one, or one for each GPU."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Reader, Transaction


@dataclass(frozen=True)
class Worker:
    """A worker, and how long ago it gave its last sign of life. The first of ``count`` has the number 1."""

    id: str
    provider: str
    number: int
    count: int
    silent_seconds: float
    running_seconds: float


def register(tx: Transaction, worker_id: str, provider: str, number: int = 1, count: int = 1) -> None:
    """Make this the worker with a number, and forget its predecessor and those beyond ``count``."""
    tx.change("DELETE FROM workers WHERE number = ? OR number > ?", [number, count])
    tx.insert("workers", ("started_at", "seen_at"), id=worker_id, provider=provider, number=number, count=count)


def touch(tx: Transaction, worker_id: str) -> None:
    """Note a sign of life."""
    tx.change("UPDATE workers SET seen_at = unixepoch('subsec') WHERE id = ?", [worker_id])


def everyone(db: Reader) -> list[Worker]:
    """Return the workers by their numbers."""
    rows = db.all("""
        SELECT id, provider, number, count, unixepoch('subsec') - seen_at AS silent_seconds,
            unixepoch('subsec') - started_at AS running_seconds FROM workers ORDER BY number
        """)
    return [Worker(**dict(row)) for row in rows]


def first(db: Reader) -> Worker | None:
    """Return the worker that also sweeps and does chores, or None if it never started."""
    return next((worker for worker in everyone(db) if worker.number == 1), None)
