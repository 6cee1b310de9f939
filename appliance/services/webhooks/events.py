"""Webhooks as Standard Webhooks has them: queued with the change that they tell of, signed, tried again for days."""

from __future__ import annotations

import base64
import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from standardwebhooks import Webhook

from appliance import __version__
from appliance.errors import CallbackFailed, CallbackRefused, LeaseLost
from appliance.rfc3339 import rfc3339
from appliance.services.box import Box
from appliance.services.webhooks.post import post
from appliance.services.webhooks.urls import parse_callback, resolve
from appliance.state import webhooks, work
from appliance.state.database import Database
from appliance.state.webhooks import Delivery, Secret
from appliance.state.work import Work

KIND = "webhook"
GONE = 410
OVERLAP_SECONDS = 86400.0


def announce(db: Database, tenant_id: int, url: str, event_type: str, data: dict[str, Any]) -> None:
    """Queue an event. In the transaction of the change that it tells of."""
    delivery_id = f"msg_{uuid.uuid4().hex}"
    payload = {"type": event_type, "timestamp": rfc3339(time.time()), "data": data}
    webhooks.insert_delivery(db, delivery_id, tenant_id, url, event_type, payload)
    # What goes to one host is one group: those that answer go on while a slow one is waited for.
    work.enqueue(db, KIND, delivery_id, f"{KIND} {urlsplit(url).netloc}")


def load(box: Box, claimed: Work) -> Delivery:
    """The delivery to try. Raises LeaseLost where it is gone."""
    delivery = webhooks.find_delivery(box.db, claimed.subject_id)
    if delivery is None:
        raise LeaseLost(f"Delivery {claimed.subject_id} is gone.")
    return delivery


def deliver(box: Box, claimed: Work) -> bool:
    """Try once and note how it went; False where it will be tried again, or never. Raises LeaseLost."""
    delivery = load(box, claimed)
    status, error = _try(box, delivery)
    with box.db.transaction():
        if error is None and status is not None:
            work.finish(box.db, claimed)
            return webhooks.mark_delivered(box.db, delivery.id, status)
        _put_off(box, claimed, delivery, status, error or "")
    return False


def _try(box: Box, delivery: Delivery) -> tuple[int | None, str | None]:
    """The status of the answer, if there was one, and what was wrong with it."""
    try:
        callback = parse_callback(delivery.url)
        headers = _headers(box, delivery)
        body = delivery.payload.encode()
        status = post(callback, resolve(box, callback), body, headers, box.settings.webhook_timeout_seconds)
    except (CallbackRefused, CallbackFailed) as error:
        return None, str(error)
    return status, None if 200 <= status < 300 else f"The receiver answered {status}."


def _put_off(box: Box, claimed: Work, delivery: Delivery, status: int | None, error: str) -> None:
    waits = box.settings.webhook_retry_seconds
    if status == GONE or delivery.attempts >= len(waits):
        work.finish(box.db, claimed)
        webhooks.mark_failed(box.db, delivery.id, status, error)
        return
    wait_seconds = waits[delivery.attempts]
    work.give_back(box.db, claimed, attempts=1, delay_seconds=wait_seconds)
    webhooks.mark_postponed(box.db, delivery.id, wait_seconds, status, error)


def _headers(box: Box, delivery: Delivery) -> dict[str, str]:
    now = datetime.now(UTC)
    signing = current_secrets(box, delivery.tenant_id)
    signatures = [Webhook(each.secret).sign(delivery.id, now, delivery.payload) for each in signing]
    return {
        "Content-Type": "application/json",
        "User-Agent": f"appliance/{__version__}",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def current_secrets(box: Box, tenant_id: int) -> list[Secret]:
    """The secrets that sign for a tenant, the one in force first; made where there is none yet."""
    found = webhooks.list_secrets(box.db, tenant_id)
    if found:
        return found
    with box.db.transaction():
        if not webhooks.list_secrets(box.db, tenant_id):
            webhooks.insert_secret(box.db, tenant_id, _new_secret(), OVERLAP_SECONDS)
    return webhooks.list_secrets(box.db, tenant_id)


def rotate_secret(box: Box, tenant_id: int) -> list[Secret]:
    """Put a new secret in force; the old one signs too for a day, so that receivers can change over."""
    with box.db.transaction():
        webhooks.insert_secret(box.db, tenant_id, _new_secret(), OVERLAP_SECONDS)
    return webhooks.list_secrets(box.db, tenant_id)


def list_deliveries(
    box: Box, tenant_id: int, *, status: str | None, before: int | None, limit: int
) -> tuple[list[Delivery], int | None]:
    """A page of deliveries, newest first, and the sequence that the next page starts before."""
    page = webhooks.list_deliveries(box.db, tenant_id, status=status, before=before, limit=limit + 1)
    return page[:limit], page[limit - 1].sequence if len(page) > limit else None


def forget_old(box: Box) -> None:
    """Drop from the log what reached its end long ago."""
    with box.db.transaction():
        webhooks.delete_old(box.db, box.settings.webhook_log_days)


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
