"""The audit log: who did what, when."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Reader, Transaction, columns


@dataclass(frozen=True)
class Entry:
    """An act: when, by whom, what was done, to what, and the request that did it."""

    sequence: int
    at: float
    actor: str
    action: str
    subject: str
    request_id: str | None


def insert_entry(tx: Transaction, actor: str, action: str, subject: str, request_id: str | None) -> None:
    """Add an act that happens now."""
    tx.insert("audit_log", ("at",), actor=actor, action=action, subject=subject, request_id=request_id)


def list_entries(db: Reader, *, before: int | None, limit: int) -> list[Entry]:
    """Return acts, newest first, from before a sequence on."""
    rows = db.all(
        f"SELECT {columns(Entry)} FROM audit_log WHERE sequence < ? ORDER BY sequence DESC LIMIT ?",
        [before or 2**62, limit],
    )
    return [Entry(**dict(row)) for row in rows]


def delete_old(tx: Transaction, days: float) -> None:
    """Remove acts of more than ``days`` ago."""
    tx.change("DELETE FROM audit_log WHERE at < unixepoch('subsec') - 86400 * ?", [days])
