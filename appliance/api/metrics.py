"""The page of metrics for Prometheus."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any

from flask import Response, current_app, g, request
from flask_openapi import APIBlueprint, Tag
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from appliance.api.context import box, require_either_key
from appliance.metrics import HTTP_REQUESTS, HTTP_SECONDS
from appliance.services import exposition

blueprint = APIBlueprint(
    "metrics",
    __name__,
    abp_tags=[Tag(name="metrics", description="Metrics for Prometheus. They need a key with the scope `metrics`.")],
    abp_security=[{"api_key": []}, {"authorization": []}],
)
blueprint.before_request(require_either_key)

PAGE: dict[str | int | HTTPStatus, Any] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@blueprint.get("/metrics", responses=PAGE)
def get_metrics() -> Response:
    """Get the metrics of all processes in Prometheus' text format."""
    text = exposition.page(box(), current_app.extensions["health"])
    return Response(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def note_start() -> None:
    """Note when the request began."""
    g.started = time.monotonic()


def count(response: Response) -> Response:
    """Count the request by its route, never by its path: a client chooses that."""
    route = request.url_rule.rule if request.url_rule else "none"
    method = request.method if request.method in METHODS else "other"
    HTTP_REQUESTS.labels(method, route, str(response.status_code)).inc()
    HTTP_SECONDS.labels(method, route).observe(time.monotonic() - g.started)
    return response
