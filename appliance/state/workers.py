"""The worker process: when it last gave a sign of life, and what it runs on."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Reader, Transaction


@dataclass(frozen=True)
class Worker:
    """The worker, and how long ago it gave its last sign of life."""

    id: str
    provider: str
    silent_seconds: float
    running_seconds: float


def register(tx: Transaction, worker_id: str, provider: str) -> None:
    """Make this the worker. A box has one."""
    tx.change("DELETE FROM workers")
    tx.insert("workers", ("started_at", "seen_at"), id=worker_id, provider=provider)


def touch(tx: Transaction, worker_id: str) -> None:
    """Note a sign of life."""
    tx.change("UPDATE workers SET seen_at = unixepoch('subsec') WHERE id = ?", [worker_id])


def current(db: Reader) -> Worker | None:
    """Return the worker, or None if none ever started."""
    row = db.one("""
        SELECT id, provider, unixepoch('subsec') - seen_at AS silent_seconds,
            unixepoch('subsec') - started_at AS running_seconds FROM workers
        """)
    return row and Worker(**dict(row))
