"""The delivery of the newest webhook about a job or a transcript, as its own answer shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from appliance.rfc3339 import rfc3339
from appliance.services.box import Box
from appliance.state import webhooks as webhook_rows
from appliance.state.webhooks import Delivery


def newest_reports(box: Box, subject_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the JSON of the newest delivery of each subject that has one in the log."""
    newest = webhook_rows.list_newest(box.db, subject_ids)
    return {subject_id: report(delivery) for subject_id, delivery in newest.items()}


def report(delivery: Delivery) -> dict[str, Any]:
    """Return the JSON of a delivery as part of another answer."""
    next_attempt_at = delivery.next_attempt_at
    return {
        "delivery_id": delivery.id,
        "event_type": delivery.event_type,
        "url": delivery.url,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "next_attempt_at": None if next_attempt_at is None else rfc3339(next_attempt_at),
    }
