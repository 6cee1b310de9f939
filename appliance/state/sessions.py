"""Sessions of the console. A session's token is random, sent once and stored as a hash."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Reader, Transaction


@dataclass(frozen=True)
class Session:
    """A session: the hash of its key, and for how many seconds it has existed and was not used."""

    id: int
    key_hash: bytes
    created_at: float
    age_seconds: float
    idle_seconds: float


def insert_session(tx: Transaction, key_id: int, token_hash: bytes) -> None:
    """Store a session of a key."""
    tx.insert("console_sessions", ("created_at", "used_at"), key_id=key_id, token_hash=token_hash)


def find_by_hash(db: Reader, token_hash: bytes) -> Session | None:
    """Return the session with this hash, also if it is over, or None."""
    row = db.one(
        """
        SELECT s.id, k.key_hash, s.created_at, unixepoch('subsec') - s.created_at AS age_seconds,
            unixepoch('subsec') - s.used_at AS idle_seconds
        FROM console_sessions s JOIN api_keys k ON k.id = s.key_id
        WHERE s.token_hash = ?
        """,
        [token_hash],
    )
    return row and Session(**dict(row))


def note_use(tx: Transaction, session_id: int) -> None:
    """Store that a session was used now."""
    tx.change("UPDATE console_sessions SET used_at = unixepoch('subsec') WHERE id = ?", [session_id])


def delete_session(tx: Transaction, token_hash: bytes) -> None:
    """Delete the session with this hash, if there is one."""
    tx.change("DELETE FROM console_sessions WHERE token_hash = ?", [token_hash])


def delete_older(tx: Transaction, seconds: float) -> None:
    """Delete the sessions that have existed for longer."""
    tx.change("DELETE FROM console_sessions WHERE created_at < unixepoch('subsec') - ?", [seconds])
