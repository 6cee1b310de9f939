"""Webhooks (Standard Webhooks): queued with the change that they report, signed, retried for days."""

from __future__ import annotations

import base64
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_bytes
from typing import Any
from urllib.parse import urlsplit

from standardwebhooks import Webhook

from appliance import __version__
from appliance.errors import Conflict, NameUnresolved, NotFound, RemoteFailed, SubjectGone, UrlRefused
from appliance.metrics import WEBHOOK_SECONDS, WEBHOOKS
from appliance.rfc3339 import rfc3339
from appliance.services import audit
from appliance.services.box import Box
from appliance.services.kind import Kind
from appliance.services.outbound.addresses import parse_url, resolve
from appliance.services.paging import split_page
from appliance.services.webhooks.post import post
from appliance.services.webhooks.urls import allowed_callbacks
from appliance.state import webhooks as webhook_rows
from appliance.state import work as queue
from appliance.state.database import Transaction
from appliance.state.webhooks import Delivery, Secret
from appliance.state.work import Work

GONE = 410
OVERLAP_SECONDS = 86400.0

WEBHOOK = Kind("webhook", fail=lambda tx, delivery_id, code, message: _fail(tx, delivery_id, message), pool="courier")


def announce(
    tx: Transaction,
    tenant_id: int,
    subject_id: str,
    url: str,
    event_type: str,
    data: dict[str, Any],
    beside: dict[str, Any] | None = None,
) -> None:
    """Queue an event about a job or a transcript, in the transaction of the change that it reports.

    ``beside`` has further keys of the body, beside ``data``.
    """
    payload = {"type": event_type, "timestamp": rfc3339(time.time()), "data": data} | (beside or {})
    announce_as(tx, tenant_id, subject_id, url, event_type, payload)


def announce_as(
    tx: Transaction,
    tenant_id: int,
    subject_id: str,
    url: str,
    event_type: str,
    payload: dict[str, Any],
    header: tuple[str, str] | None = None,
) -> None:
    """Queue an event as ``announce`` does, with a body of the caller's, and a header besides those of every webhook."""
    delivery_id = f"msg_{uuid.uuid4().hex}"
    webhook_rows.insert_delivery(tx, delivery_id, tenant_id, subject_id, url, event_type, payload, header)
    _enqueue(tx, tenant_id, delivery_id, url)


def retry_delivery(box: Box, tenant_id: int, delivery_id: str) -> Delivery:
    """Queue one more try of a failed delivery. Raises NotFound, and Conflict if the delivery has not failed."""
    with box.db.transaction() as tx:
        delivery = _require_delivery(tx, tenant_id, delivery_id)
        if not webhook_rows.mark_pending(tx, delivery_id):
            raise Conflict(f"The delivery is {delivery.status}; only a failed one can be tried again.")
        _enqueue(tx, tenant_id, delivery_id, delivery.url)
        return _require_delivery(tx, tenant_id, delivery_id)


def deliver(box: Box, work: Work) -> bool:
    """Try to deliver a webhook once. Returns False if the try failed. Raises LeaseLost, SubjectGone."""
    delivery = webhook_rows.find_delivery(box.db, work.subject_id)
    if delivery is None:
        raise SubjectGone(f"The delivery {work.subject_id} was deleted.")
    with WEBHOOK_SECONDS.time():
        attempt = _try(box, delivery, work.request_id)
    status, error = attempt.status, attempt.error
    waits = box.settings.webhook_retry_seconds
    with box.db.transaction() as tx:
        if error is None:
            queue.finish(tx, work)
            webhook_rows.count_attempt(tx, delivery.id, status, None, 0.0)
            webhook_rows.mark_delivered(tx, delivery.id)
            result = "delivered"
        elif attempt.is_last or delivery.attempts >= len(waits):
            queue.finish(tx, work)
            webhook_rows.count_attempt(tx, delivery.id, status, error, 0.0)
            webhook_rows.mark_failed(tx, delivery.id)
            result = "given_up"
        else:
            wait_seconds = waits[delivery.attempts]
            queue.release(tx, work, attempts=1, delay_seconds=wait_seconds)
            webhook_rows.count_attempt(tx, delivery.id, status, error, wait_seconds)
            result = "retried"
    WEBHOOKS.labels(result).inc()
    return error is None


def _enqueue(tx: Transaction, tenant_id: int, delivery_id: str, url: str) -> None:
    # One group per host: hosts that answer are served while a slow one keeps a thread waiting.
    WEBHOOK.enqueue(tx, tenant_id, f"{WEBHOOK.name} {urlsplit(url).netloc}", delivery_id)


def _require_delivery(tx: Transaction, tenant_id: int, delivery_id: str) -> Delivery:
    delivery = webhook_rows.find_delivery(tx, delivery_id)
    if delivery is None or delivery.tenant_id != tenant_id:
        raise NotFound("There is no such delivery.")
    return delivery


def _fail(tx: Transaction, delivery_id: str, message: str) -> bool:
    webhook_rows.count_attempt(tx, delivery_id, None, message, 0.0)
    return webhook_rows.mark_failed(tx, delivery_id)


@dataclass(frozen=True)
class _Attempt:
    """The HTTP status, None without an answer; the error, None if it was delivered; and whether to give up."""

    status: int | None
    error: str | None
    is_last: bool = False


def _try(box: Box, delivery: Delivery, request_id: str | None) -> _Attempt:
    """Post a delivery. A URL that may not be called is not tried again for days."""
    try:
        destination = parse_url(delivery.url)
        headers = _headers(box, delivery, request_id)
        body = delivery.payload.encode()
        address = resolve(allowed_callbacks(box), destination)
        status = post(destination, address, body, headers, box.settings.webhook_timeout_seconds)
    except (NameUnresolved, RemoteFailed) as error:
        return _Attempt(None, str(error))
    except UrlRefused as error:
        return _Attempt(None, str(error), is_last=True)
    fault = None if 200 <= status < 300 else f"The receiver answered {status}."
    return _Attempt(status, fault, is_last=status == GONE)


def _headers(box: Box, delivery: Delivery, request_id: str | None) -> dict[str, str]:
    now = datetime.now(UTC)
    secrets = current_secrets(box, delivery.tenant_id)
    signatures = [Webhook(secret.secret).sign(delivery.id, now, delivery.payload) for secret in secrets]
    chosen = {delivery.header_name: delivery.header_value or ""} if delivery.header_name else {}
    traced = {"X-Request-ID": request_id} if request_id else {}
    return (
        chosen
        | traced
        | {
            "Content-Type": "application/json",
            "User-Agent": f"appliance/{__version__}",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
    )


def current_secrets(box: Box, tenant_id: int) -> list[Secret]:
    """Return the secrets that sign for a tenant, the current one first. Creates one if there is none yet."""
    if not webhook_rows.list_secrets(box.db, tenant_id):
        with box.db.transaction() as tx:
            if not webhook_rows.list_secrets(tx, tenant_id):
                webhook_rows.insert_secret(tx, tenant_id, _new_secret(), OVERLAP_SECONDS)
    return webhook_rows.list_secrets(box.db, tenant_id)


def rotate_secret(box: Box, tenant_id: int) -> list[Secret]:
    """Create a new current secret. The old one also signs for a day, so that receivers can change over."""
    with box.db.transaction() as tx:
        webhook_rows.insert_secret(tx, tenant_id, _new_secret(), OVERLAP_SECONDS)
        audit.note(tx, "webhook secret rotated", f"tenant {tenant_id}")
    return webhook_rows.list_secrets(box.db, tenant_id)


def list_deliveries(
    box: Box, tenant_id: int, *, status: str | None, before: int | None, limit: int, subject_id: str | None = None
) -> tuple[list[Delivery], int | None]:
    """Return a page of deliveries, newest first, and the sequence before which the next page starts."""
    rows = webhook_rows.list_deliveries(
        box.db, tenant_id, status=status, before=before, limit=limit + 1, subject_id=subject_id
    )
    return split_page(rows, limit)


def delete_old(box: Box) -> None:
    """Remove deliveries from the log that ended longer ago than the setting ``webhook_log_days``."""
    with box.db.transaction() as tx:
        webhook_rows.delete_old(tx, box.settings.webhook_log_days)


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(token_bytes(32)).decode()}"
