"""The Flask app: blueprints, errors, request ids."""

from __future__ import annotations

import re
import uuid
from typing import Any

import structlog
from flask import Response, g, request
from flask.json.provider import DefaultJSONProvider
from flask_openapi import Info, OpenAPI, SecurityScheme, Server
from werkzeug.middleware.proxy_fix import ProxyFix

from appliance import __version__
from appliance.api import (
    admin,
    annotation_sets,
    changes,
    console,
    datasets,
    detections,
    exports,
    health,
    inference,
    looking,
    metrics,
    models,
    reviewed_stretches,
    reviews,
    speech_batch,
    speech_presigned,
    speech_raw,
    training,
    training_data,
    usage,
    verdicts,
    webhooks,
)
from appliance.api import annotations as annotations_api
from appliance.api.access import scope_of
from appliance.api.context import end_slow_call
from appliance.api.errors import (
    MEDIA_TYPE,
    Failure,
    Problem,
    has_plain_errors,
    register_error_handlers,
    validation_problem,
)
from appliance.api.unread import read_on
from appliance.errors import TooManyCalls, TooManyUploads
from appliance.services.box import Box
from appliance.services.datasets.similarity import Similarity
from appliance.services.health import Health
from appliance.services.inference.kept_scores import ScoreShelf
from appliance.services.inference.likeness import Prints
from appliance.services.inference.waveforms import Looking
from appliance.services.keys import LastUses
from appliance.services.slots import FairSlots
from appliance.services.speech.durations import Durations

MAX_BODY_BYTES = 1024**2
RULE_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

log = structlog.get_logger()


def create_app(box: Box) -> OpenAPI:
    """Return the API of one box. The services do the work; this only composes them."""
    app = OpenAPI(
        "appliance",
        info=Info(title="Audio inference appliance", version=__version__),
        servers=[Server(url="/", description="The origin that served this document.")],
        security_schemes={
            "api_key": SecurityScheme(type="apiKey", name="X-API-Key", **{"in": "header"}),
            "authorization": SecurityScheme(type="apiKey", name="Authorization", **{"in": "header"}),
            "session": SecurityScheme(type="apiKey", name="console", **{"in": "cookie"}),
        },
        validation_error_status=400,
        validation_error_model=Problem,
        validation_error_callback=validation_problem,
        doc_prefix="/api/v1",
        doc_url="/openapi.json",
        static_folder=None,
    )
    app.openapi_version = "3.1.0"
    app.json = OrderedJSONProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["box"] = box
    app.extensions["health"] = Health(box)
    app.extensions["similarity"] = Similarity(box)
    app.extensions["score_shelf"] = ScoreShelf(box)
    app.extensions["looking"] = Looking(box)
    app.extensions["prints"] = Prints()
    app.extensions["last_uses"] = LastUses(box.db)
    app.extensions["durations"] = Durations(box.settings)
    app.extensions["upload_slots"] = FairSlots(box.settings.streamed_uploads, "uploads", TooManyUploads)
    app.extensions["slow_calls"] = FairSlots(box.settings.api_threads, "searches and imports", TooManyCalls)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]
    app.before_request(metrics.note_start)
    app.before_request(_note_request_id)
    app.after_request(_show_request_id)
    app.after_request(metrics.count)
    app.after_request(_log_request)
    app.after_request(read_on)
    app.teardown_request(_forget_request_id)
    app.teardown_request(end_slow_call)
    register_error_handlers(app)
    for module in (
        inference,
        detections,
        reviews,
        looking,
        changes,
        verdicts,
        exports,
        datasets,
        annotations_api,
        reviewed_stretches,
        annotation_sets,
        training,
        training_data,
        models,
        usage,
        webhooks,
        speech_raw,
        speech_batch,
        speech_presigned,
        admin,
        metrics,
        console,
        health,
    ):
        app.register_api(module.blueprint)
    _document_problems(app)
    _document_scopes(app)
    _document_webhooks(app)
    return app


class OrderedJSONProvider(DefaultJSONProvider):
    """JSON whose keys keep their order: the fields of an upload form must be sent in the order of the answer."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse JSON. Raises ValueError, also if it is nested too deeply for Python."""
        try:
            return super().loads(s, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _note_request_id() -> None:
    request_id = request.headers.get("X-Request-ID", "")
    g.request_id = request_id if REQUEST_ID.fullmatch(request_id) else str(uuid.uuid4())
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _forget_request_id(_: BaseException | None) -> None:
    structlog.contextvars.unbind_contextvars("request_id", "actor")


def _log_request(response: Response) -> Response:
    """Log who changed something. What strangers and readers do is in the log of the front door only."""
    if "tenant_id" in g and request.method not in ("GET", "HEAD", "OPTIONS"):
        route = request.url_rule.rule if request.url_rule else ""
        log.info("request", method=request.method, route=route, status=response.status_code, tenant=g.tenant_id)
    return response


def _show_request_id(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    return response


def _document_problems(app: OpenAPI) -> None:
    """Declare in the OpenAPI document that every other answer is a problem, or a failure below ``/v2/``."""
    app.api_doc["components"]["schemas"]["Failure"] = Failure.model_json_schema()
    problem, failure = _described(MEDIA_TYPE, "Problem"), _described("application/json", "Failure")
    for path, operations in app.api_doc["paths"].items():
        for operation in operations.values():
            error = failure if has_plain_errors(path) else problem
            operation["responses"]["400"] = error
            operation["responses"]["default"] = error


def _document_scopes(app: OpenAPI) -> None:
    """Name the scope that each call needs in its security requirement. Raises KeyError for a call without one.

    Each call that takes a key takes the session of the console, too.
    """
    for rule in app.url_map.iter_rules():
        operations = app.api_doc["paths"].get(RULE_PARAMETER.sub(r"{\1}", rule.rule), {})
        for method in (rule.methods or set()) & {name.upper() for name in operations}:
            security = operations[method.lower()].get("security", [])
            if not security or rule.endpoint.startswith("console."):
                continue
            schemes = [scheme for requirement in security for scheme in requirement] + ["session"]
            scope = scope_of(method, rule.endpoint)
            operations[method.lower()]["security"] = [{scheme: [scope]} for scheme in schemes]


def _document_webhooks(app: OpenAPI) -> None:
    """Declare in the OpenAPI document what the appliance posts to the URLs of clients."""
    app.api_doc["components"]["schemas"]["WebhookEvent"] = webhooks.WebhookEvent.model_json_schema()
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/WebhookEvent"}}}}
    answer = {"2XX": {"description": "Received. Any other answer, and no answer, leads to another try."}}
    app.api_doc["webhooks"] = {
        name: {"post": {"summary": summary, "requestBody": body, "responses": answer}}
        for name, summary in webhooks.EVENTS.items()
    }


def _described(media_type: str, schema: str) -> dict[str, Any]:
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": "An error.", "content": content}
