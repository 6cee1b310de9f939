"""Which jobs and files changed, in the order of their changes. Triggers write it; only the last change of each is kept.

The place after a change is its sequence, which only grows.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Reader, Transaction

KEPT_SECONDS = 86_400.0


@dataclass(frozen=True)
class Change:
    """A job that changed, or one of its files; whether it still exists is not said."""

    sequence: int
    job_id: str
    file_id: str | None


def last_place(db: Reader, tenant_id: int) -> int:
    """Return the place after the tenant's last change."""
    row = db.one("SELECT max(sequence) AS place FROM changes WHERE tenant_id = ?", [tenant_id])
    return max(int((row and row["place"]) or 0), forgotten_place(db, tenant_id))


def forgotten_place(db: Reader, tenant_id: int) -> int:
    """Return the place after the last of the tenant's changes that was forgotten."""
    row = db.one("SELECT forgotten FROM changes_forgotten WHERE tenant_id = ?", [tenant_id])
    return int(row["forgotten"]) if row else 0


def list_changes(db: Reader, tenant_id: int, after: int, limit: int) -> list[Change]:
    """Return the tenant's changes after a place, oldest first."""
    rows = db.all(
        """
        SELECT sequence, job_id, nullif(file_id, '') AS file_id FROM changes
        WHERE tenant_id = ? AND sequence > ? ORDER BY sequence LIMIT ?
        """,
        [tenant_id, after, limit],
    )
    return [Change(**dict(row)) for row in rows]


def forget_old(tx: Transaction, seconds: float, limit: int) -> None:
    """Forget up to ``limit`` of the oldest changes, as far as they are older than ``seconds``."""
    row = tx.one(
        """
        SELECT max(sequence) AS place FROM (SELECT sequence, changed_at FROM changes ORDER BY sequence LIMIT ?)
        WHERE changed_at < unixepoch('subsec') - ?
        """,
        [limit, seconds],
    )
    if row and row["place"]:
        tx.change(
            """
            INSERT OR REPLACE INTO changes_forgotten (tenant_id, forgotten)
            SELECT tenant_id, max(sequence) FROM changes WHERE sequence <= ? GROUP BY tenant_id
            """,
            [row["place"]],
        )
        tx.change("DELETE FROM changes WHERE sequence <= ?", [row["place"]])
