"""What is told to callback URLs: deliveries, and the secrets that sign them.

pending → delivered, or failed (the receiver is gone, or the last try was used up).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from appliance.state.database import Database, Row


@dataclass(frozen=True)
class Delivery:
    """An event on its way to a URL; ``next_attempt_at`` is None once it reached its end."""

    sequence: int
    id: str
    tenant_id: int
    url: str
    event_type: str
    payload: str  # the JSON that is sent
    status: str
    attempts: int
    next_attempt_at: float | None
    last_attempt_at: float | None
    last_status: int | None  # HTTP status of the last answer
    last_error: str | None
    created_at: float


@dataclass(frozen=True)
class Secret:
    """A secret that signs; ``expires_at`` is None for the one in force."""

    secret: str
    created_at: float
    expires_at: float | None


SELECT = """
    SELECT sequence, id, tenant_id, url, event_type, payload, status, attempts, next_attempt_at, last_attempt_at,
        last_status, last_error, created_at
    FROM webhook_deliveries
"""


def insert_delivery(
    db: Database, delivery_id: str, tenant_id: int, url: str, event_type: str, payload: dict[str, Any]
) -> None:
    """Store a new delivery. Inside the transaction of the change that it tells of."""
    db.change(
        """
        INSERT INTO webhook_deliveries (id, tenant_id, url, event_type, payload, status, next_attempt_at, created_at)
        VALUES (?, ?, ?, ?, ?, 'pending', unixepoch('subsec'), unixepoch('subsec'))
        """,
        [delivery_id, tenant_id, url, event_type, json.dumps(payload, ensure_ascii=False)],
    )


def find_delivery(db: Database, delivery_id: str) -> Delivery | None:
    """The delivery of this id, whoever's it is, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [delivery_id])
    return row and _delivery(row)


def list_deliveries(
    db: Database, tenant_id: int, *, status: str | None, before: int | None, limit: int
) -> list[Delivery]:
    """The tenant's deliveries, newest first, from the one before sequence ``before`` on."""
    rows = db.all(
        f"""
        {SELECT} WHERE tenant_id = ?1 AND (?2 IS NULL OR status = ?2) AND (?3 IS NULL OR sequence < ?3)
        ORDER BY sequence DESC LIMIT ?4
        """,
        [tenant_id, status, before, limit],
    )
    return [_delivery(row) for row in rows]


def mark_delivered(db: Database, delivery_id: str, status: int) -> bool:
    """pending → delivered. Inside a transaction."""
    return _tried(db, delivery_id, "status = 'delivered', next_attempt_at = NULL", [], status, None)


def mark_failed(db: Database, delivery_id: str, status: int | None, error: str) -> bool:
    """pending → failed. Inside a transaction."""
    return _tried(db, delivery_id, "status = 'failed', next_attempt_at = NULL", [], status, error)


def mark_postponed(db: Database, delivery_id: str, wait_seconds: float, status: int | None, error: str) -> bool:
    """Stays pending; the next try is in ``wait_seconds``. Inside a transaction."""
    return _tried(db, delivery_id, "next_attempt_at = unixepoch('subsec') + ?", [wait_seconds], status, error)


def delete_old(db: Database, days: float) -> None:
    """Forget deliveries that reached their end and are older than ``days``. Inside a transaction."""
    db.change(
        "DELETE FROM webhook_deliveries WHERE status <> 'pending' AND created_at < unixepoch('subsec') - 86400 * ?",
        [days],
    )


def insert_secret(db: Database, tenant_id: int, secret: str, overlap_seconds: float) -> None:
    """Put a secret in force; the one before it signs too for ``overlap_seconds``. Inside a transaction."""
    db.change(
        "UPDATE webhook_secrets SET expires_at = unixepoch('subsec') + ? WHERE tenant_id = ? AND expires_at IS NULL",
        [overlap_seconds, tenant_id],
    )
    db.change(
        "DELETE FROM webhook_secrets WHERE tenant_id = ? AND expires_at < unixepoch('subsec')",
        [tenant_id],
    )
    db.change(
        "INSERT INTO webhook_secrets (tenant_id, secret, created_at) VALUES (?, ?, unixepoch('subsec'))",
        [tenant_id, secret],
    )


def list_secrets(db: Database, tenant_id: int) -> list[Secret]:
    """The secrets that sign for the tenant now, newest first."""
    rows = db.all(
        """
        SELECT secret, created_at, expires_at FROM webhook_secrets
        WHERE tenant_id = ? AND (expires_at IS NULL OR expires_at >= unixepoch('subsec')) ORDER BY id DESC
        """,
        [tenant_id],
    )
    return [Secret(**dict(row)) for row in rows]


def _tried(
    db: Database, delivery_id: str, assignments: str, values: list[object], status: int | None, error: str | None
) -> bool:
    changed = db.change(
        f"""
        UPDATE webhook_deliveries SET {assignments}, attempts = attempts + 1, last_attempt_at = unixepoch('subsec'),
            last_status = ?, last_error = ?
        WHERE id = ? AND status = 'pending'
        """,
        [*values, status, error, delivery_id],
    )
    return changed == 1


def _delivery(row: Row) -> Delivery:
    return Delivery(**dict(row))
