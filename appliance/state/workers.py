"""Which worker is alive, and what it runs on."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Database


@dataclass(frozen=True)
class Worker:
    """A worker's last sign of life."""

    id: str
    provider: str
    silent_seconds: float


def register(db: Database, worker_id: str, provider: str) -> None:
    """Make this the worker; a box has one. Inside a transaction."""
    db.change("DELETE FROM workers")
    db.change("INSERT INTO workers VALUES (?, ?, unixepoch('subsec'), unixepoch('subsec'))", [worker_id, provider])


def touch(db: Database, worker_id: str) -> None:
    """Note a sign of life. Inside a transaction."""
    db.change("UPDATE workers SET seen_at = unixepoch('subsec') WHERE id = ?", [worker_id])


def current(db: Database) -> Worker | None:
    """The worker, or None where none ever started."""
    row = db.one("SELECT id, provider, unixepoch('subsec') - seen_at AS silent_seconds FROM workers")
    return row and Worker(**dict(row))
