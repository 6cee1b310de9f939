"""Health, readiness and the documentation, open to all."""

from __future__ import annotations

from typing import Any

from flask import current_app, render_template_string, request
from flask_openapi import APIBlueprint, Tag
from flask_openapi_swagger.templates import swagger_html_string

from appliance.api import schemas
from appliance.api.context import caller
from appliance.errors import ApplianceError
from appliance.services.health import Health

blueprint = APIBlueprint("health", __name__, abp_tags=[Tag(name="health", description="Health and readiness.")])

Answer = tuple[dict[str, Any], int]


@blueprint.get("/healthz", responses={200: schemas.Health})
def healthz() -> Answer:
    """Check that the API process is alive."""
    return {"status": "ok"}, 200


@blueprint.get("/readyz", responses={200: schemas.Readiness, 503: schemas.Readiness})
def readyz() -> Answer:
    """Check whether the appliance can take work and does it. Only a caller with a key reads the details."""
    health: Health = current_app.extensions["health"]
    checks = health.check_all()
    ready = all(check.ok for check in checks.values())
    detailed = _has_key()
    body = {
        "status": "ready" if ready else "not ready",
        "checks": {name: {"ok": it.ok, "detail": it.detail if detailed else None} for name, it in checks.items()},
    }
    return body, 200 if ready else 503


@blueprint.get("/api/v1/status", responses={200: schemas.StatusReport})
def get_status() -> Answer:
    """Get the status of the appliance and its reasons. Only a caller with a key reads the details."""
    health: Health = current_app.extensions["health"]
    status, detailed = health.status(), _has_key()
    reasons = [{"check": name, "detail": it.detail if detailed else None} for name, it in status.reasons.items()]
    return {"status": status.name, "reasons": reasons}, 200


def _has_key() -> bool:
    try:
        caller(request.headers.get("X-API-Key"))
    except ApplianceError:  # also if the database cannot say
        return False
    return True


@blueprint.get("/docs", doc_ui=False)
def docs() -> str:
    """Return the API reference as a page that needs no internet."""
    page = swagger_html_string.replace('"swagger/', '"/api/v1/swagger/')
    # Without this, the page sends its document to a validator on the internet.
    config = {"validatorUrl": None}
    return render_template_string(page, doc_url="/api/v1/openapi.json", swagger_config=config, oauth_config=None)
