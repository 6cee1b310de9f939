"""Background chores: when each last ended, and what it found wrong."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Reader, Transaction


@dataclass(frozen=True)
class Chore:
    """The last run of a chore: how long ago it ended, and a sentence on what is wrong, or None."""

    seconds_ago: float
    fault: str | None


def note(tx: Transaction, name: str, fault: str | None = None) -> None:
    """Note that a chore has ended now."""
    tx.change("INSERT OR REPLACE INTO chores (name, ended_at, fault) VALUES (?, unixepoch('subsec'), ?)", [name, fault])


def last(db: Reader, name: str) -> Chore | None:
    """Return the last run of a chore; None if it never ended."""
    row = db.one("SELECT unixepoch('subsec') - ended_at AS seconds_ago, fault FROM chores WHERE name = ?", [name])
    return row and Chore(**dict(row))
