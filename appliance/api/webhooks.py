"""Webhooks over HTTP: the secret that signs them, and the log of their delivery."""

from __future__ import annotations

from typing import Any

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from appliance.api.context import box, require_key, tenant_id
from appliance.api.cursors import make_cursor, read_cursor
from appliance.api.schemas import Page, Text
from appliance.rfc3339 import rfc3339
from appliance.services.webhooks import events as webhooks
from appliance.state.moves import DeliveryStatus
from appliance.state.webhooks import Delivery, Secret

blueprint = APIBlueprint(
    "webhooks",
    __name__,
    url_prefix="/api/v1/webhooks",
    abp_tags=[Tag(name="webhooks", description="Webhook secrets and delivery log.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]

EVENTS = {
    "file.completed": "A file of a job was analyzed.",
    "file.failed": "A file of a job cannot be analyzed, or was never uploaded.",
    "file.verdict_changed": "A review, a detection again or a new rule changed the verdict of a file.",
    "job.completed": "Every file of a job is completed, failed or cancelled.",
    "transcription.completed": "A transcript is ready, or the detections that were requested instead.",
    "transcription.failed": "A transcript failed.",
    "training.completed": "A training made a model.",
    "training.failed": "A training failed.",
    "training.cancelled": "A training was cancelled.",
}


class WebhookEvent(BaseModel):
    """The body of a webhook; that of the raw route has `transcript_id` and `status` instead."""

    type: str
    timestamp: str = Field(json_schema_extra={"format": "date-time"})
    data: dict[str, Any] = Field(description="What webhooks.md lists for the type.")


class ListDeliveries(Page):
    """Which deliveries to list."""

    status: DeliveryStatus | None = None
    subject_id: Text | None = Field(None, description="Only those about this job or this transcription.")


class DeliveryPath(BaseModel):
    """Path of a delivery."""

    delivery_id: Text


class PreviousSecret(BaseModel):
    """A secret that was replaced; it also signs until it expires."""

    secret: str
    expires_at: str = Field(json_schema_extra={"format": "date-time"})


class WebhookSecret(BaseModel):
    """The secret that signs the tenant's webhooks."""

    secret: str = Field(description="In the form that libraries of Standard Webhooks take.")
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    previous: list[PreviousSecret]


class WebhookDelivery(BaseModel):
    """An event and its delivery to a URL."""

    id: str = Field(description="`webhook-id`, the same at every attempt.")
    event_type: str
    subject_id: str | None = Field(description="The job or the transcription that the event is about.")
    url: str
    status: DeliveryStatus
    attempts: int
    next_attempt_at: str | None = Field(json_schema_extra={"format": "date-time"})
    last_attempt_at: str | None = Field(json_schema_extra={"format": "date-time"})
    last_status: int | None = Field(description="HTTP status of the last answer, null if there was none.")
    last_error: str | None
    created_at: str = Field(json_schema_extra={"format": "date-time"})


class WebhookDeliveryPage(BaseModel):
    """A page of deliveries, newest first."""

    deliveries: list[WebhookDelivery]
    next_cursor: str | None


@blueprint.get("/secret", responses={200: WebhookSecret})
def get_webhook_secret() -> Answer:
    """Get the secret that signs webhooks."""
    return render_secret(webhooks.current_secrets(box(), tenant_id())), 200


@blueprint.post("/secret/rotate", responses={200: WebhookSecret})
def rotate_webhook_secret() -> Answer:
    """Create a new secret; the old one also signs for 24 hours."""
    return render_secret(webhooks.rotate_secret(box(), tenant_id())), 200


@blueprint.get("/deliveries", responses={200: WebhookDeliveryPage})
def list_webhook_deliveries(query: ListDeliveries) -> Answer:
    """List deliveries, newest first."""
    page, next_before = webhooks.list_deliveries(
        box(),
        tenant_id(),
        status=query.status,
        before=read_cursor(query.cursor),
        limit=query.limit,
        subject_id=query.subject_id,
    )
    return {
        "deliveries": [render_delivery(delivery) for delivery in page],
        "next_cursor": make_cursor(next_before),
    }, 200


@blueprint.post("/deliveries/<delivery_id>/retry", responses={200: WebhookDelivery})
def retry_webhook_delivery(path: DeliveryPath) -> Answer:
    """Try a failed delivery once more, now. A delivery that has not failed gives 409."""
    return render_delivery(webhooks.retry_delivery(box(), tenant_id(), path.delivery_id)), 200


def render_secret(secrets: list[Secret]) -> dict[str, Any]:
    """Return the JSON of the current secret and of those that also sign."""
    current, *previous = secrets
    older = [{"secret": secret.secret, "expires_at": rfc3339(secret.expires_at or 0.0)} for secret in previous]
    return {"secret": current.secret, "created_at": rfc3339(current.created_at), "previous": older}


def render_delivery(delivery: Delivery) -> dict[str, Any]:
    """Return the JSON of a delivery, without its payload."""
    times = {name: getattr(delivery, name) for name in ("next_attempt_at", "last_attempt_at", "created_at")}
    fields = {name: getattr(delivery, name) for name in WebhookDelivery.model_fields}
    return fields | {name: None if at is None else rfc3339(at) for name, at in times.items()}
