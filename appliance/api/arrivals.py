"""Receives the events that storage posts when an upload arrives: an app of its own, on a loopback port.

Requests on the unix socket come from the front door and reach the API, never this. Requests over TCP reach this, never
the API.
"""

from __future__ import annotations

import hmac
import socket
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import structlog
from flask import Flask, Response, request

from appliance.errors import ApplianceError
from appliance.services.box import Box
from appliance.services.speech import presigned

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

MAX_EVENT_BYTES = 1024**2


def beside_arrivals(api: WSGIApplication, box: Box) -> WSGIApplication:
    """Return an app that serves the API on the unix socket and the arrivals over TCP."""
    arrivals = create_arrivals(box)

    def choose(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        local = environ["gunicorn.socket"].family == socket.AF_UNIX
        return (api if local else arrivals)(environ, start_response)

    return choose


def create_arrivals(box: Box) -> Flask:
    """Return the app that receives the events of storage."""
    app = Flask("arrivals", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_EVENT_BYTES
    app.register_error_handler(ApplianceError, _try_later)

    @app.post("/arrivals")
    def take_arrivals() -> Response:
        if not _is_storage(box.objects.arrivals_token):
            return Response(status=HTTPStatus.UNAUTHORIZED)
        for key in _keys_of(request.get_json(silent=True)):
            presigned.key_arrived(box, key)
        return Response(status=HTTPStatus.NO_CONTENT)

    return app


def _is_storage(token: str | None) -> bool:
    received = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return token is not None and hmac.compare_digest(received.encode("utf-8", "surrogateescape"), token.encode())


def _keys_of(event: Any) -> Iterator[str]:
    """Yield the keys that an event names. An unreadable event is skipped: storage would send it forever."""
    try:
        for record in event["Records"]:
            yield unquote_plus(record["s3"]["object"]["key"])
    except (KeyError, TypeError) as error:
        log.warning("storage event cannot be read", error=repr(error))


def _try_later(error: ApplianceError) -> Response:
    # With 503, storage keeps the event and sends it again.
    log.error("storage event not handled", code=error.code, error=str(error))
    return Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
