"""Webhook deliveries, and the secrets that sign them. ``moves.DELIVERY`` lists their statuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from appliance.state.database import Reader, Row, Transaction, columns, where
from appliance.state.moves import DELIVERY, DeliveryStatus


@dataclass(frozen=True)
class Delivery:
    """An event and the URL that it is sent to. ``next_attempt_at`` is None at the end."""

    sequence: int
    id: str
    tenant_id: int
    subject_id: str | None  # the job or the transcript that it is about
    url: str
    event_type: str
    payload: str  # the JSON that is sent
    header_name: str | None  # a header that the client chose, so that its receiver knows the sender
    header_value: str | None = field(repr=False)  # a secret of the client
    status: DeliveryStatus
    attempts: int
    next_attempt_at: float | None
    last_attempt_at: float | None
    last_status: int | None  # HTTP status of the last answer
    last_error: str | None
    created_at: float


@dataclass(frozen=True)
class Secret:
    """A secret that signs. ``expires_at`` is None for the current one."""

    secret: str
    created_at: float
    expires_at: float | None


SELECT = f"SELECT {columns(Delivery)} FROM webhook_deliveries"


def insert_delivery(
    tx: Transaction,
    delivery_id: str,
    tenant_id: int,
    subject_id: str,
    url: str,
    event_type: str,
    payload: dict[str, Any],
    header: tuple[str, str] | None = None,
) -> None:
    """Store a new pending delivery that is due now."""
    tx.insert(
        "webhook_deliveries",
        ("next_attempt_at", "created_at"),
        id=delivery_id,
        tenant_id=tenant_id,
        subject_id=subject_id,
        url=url,
        event_type=event_type,
        payload=json.dumps(payload, ensure_ascii=False),
        header_name=header and header[0],
        header_value=header and header[1],
        status="pending",
    )


def find_delivery(db: Reader, delivery_id: str) -> Delivery | None:
    """Return the delivery of this id, of any tenant, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [delivery_id])
    return row and _delivery(row)


def list_newest(db: Reader, subject_ids: Iterable[str]) -> dict[str, Delivery]:
    """Return the newest delivery of each subject that has one. This costs the same however many a subject has."""
    rows = db.all(
        f"""
        {SELECT} WHERE sequence IN (
            SELECT (
                SELECT sequence FROM webhook_deliveries WHERE subject_id = subjects.value ORDER BY sequence DESC LIMIT 1
            ) FROM json_each(?) AS subjects
        )
        """,
        [json.dumps([*subject_ids])],
    )
    return {row["subject_id"]: _delivery(row) for row in rows}


def list_deliveries(
    db: Reader,
    tenant_id: int,
    *,
    status: str | None,
    before: int | None,
    limit: int,
    subject_id: str | None = None,
) -> list[Delivery]:
    """Return the tenant's deliveries, newest first; with ``before`` only those with a smaller sequence."""
    filters = {"tenant_id": tenant_id, "status": status, "subject_id": subject_id}
    rows = db.all(
        f"""
        {SELECT} WHERE {where(**filters)} AND (:before IS NULL OR sequence < :before)
        ORDER BY sequence DESC LIMIT :limit
        """,
        filters | {"before": before, "limit": limit},
    )
    return [_delivery(row) for row in rows]


def count_attempt(
    tx: Transaction, delivery_id: str, status: int | None, error: str | None, wait_seconds: float
) -> bool:
    """Note an attempt on a pending delivery and its outcome; the next one is in ``wait_seconds``."""
    changed = tx.change(
        """
        UPDATE webhook_deliveries SET attempts = attempts + 1, last_attempt_at = unixepoch('subsec'), last_status = ?,
            last_error = ?, next_attempt_at = unixepoch('subsec') + ?
        WHERE id = ? AND status = 'pending'
        """,
        [status, error, wait_seconds, delivery_id],
    )
    return changed == 1


def mark_delivered(tx: Transaction, delivery_id: str) -> bool:
    """Move from pending to delivered."""
    return tx.move(DELIVERY, delivery_id, "pending", "delivered", next_attempt_at=None)


def mark_failed(tx: Transaction, delivery_id: str) -> bool:
    """Move from pending to failed."""
    return tx.move(DELIVERY, delivery_id, "pending", "failed", next_attempt_at=None)


def mark_pending(tx: Transaction, delivery_id: str) -> bool:
    """Move from failed back to pending; it is due now."""
    return tx.move(DELIVERY, delivery_id, "failed", "pending", next_attempt_at=time.time())


def delete_of(tx: Transaction, subject_id: str) -> None:
    """Remove every delivery about a job or a transcript that is deleted, also those that were not sent yet."""
    _delete(tx, "subject_id = ?", subject_id)


def delete_of_file(tx: Transaction, file_id: str) -> None:
    """Remove every delivery about a file that is deleted, also those that were not sent yet."""
    _delete(tx, "json_extract(payload, '$.data.file_id') = ?", file_id)


def _delete(tx: Transaction, condition: str, value: str) -> None:
    deliveries = f"FROM webhook_deliveries WHERE {condition}"
    tx.change(f"DELETE FROM work WHERE subject_id IN (SELECT id {deliveries})", [value])
    tx.change(f"DELETE {deliveries}", [value])


def delete_old(tx: Transaction, days: float) -> None:
    """Remove deliveries at an end that are older than ``days``."""
    tx.change(
        "DELETE FROM webhook_deliveries WHERE status <> 'pending' AND created_at < unixepoch('subsec') - 86400 * ?",
        [days],
    )


def insert_secret(tx: Transaction, tenant_id: int, secret: str, overlap_seconds: float) -> None:
    """Store a new current secret. The one before it also signs for ``overlap_seconds``."""
    tx.change(
        "UPDATE webhook_secrets SET expires_at = unixepoch('subsec') + ? WHERE tenant_id = ? AND expires_at IS NULL",
        [overlap_seconds, tenant_id],
    )
    tx.change(
        "DELETE FROM webhook_secrets WHERE tenant_id = ? AND expires_at < unixepoch('subsec')",
        [tenant_id],
    )
    tx.insert("webhook_secrets", ("created_at",), tenant_id=tenant_id, secret=secret)


def list_secrets(db: Reader, tenant_id: int) -> list[Secret]:
    """Return the secrets that sign for the tenant now, newest first."""
    rows = db.all(
        f"""
        SELECT {columns(Secret)} FROM webhook_secrets
        WHERE tenant_id = ? AND (expires_at IS NULL OR expires_at >= unixepoch('subsec')) ORDER BY id DESC
        """,
        [tenant_id],
    )
    return [Secret(**dict(row)) for row in rows]


def _delivery(row: Row) -> Delivery:
    return Delivery(**dict(row))
