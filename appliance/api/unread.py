"""Answers that come before the request's body was read."""

from __future__ import annotations

import time
from contextlib import suppress
from socket import socket

from flask import Response, request

LONGEST_SECONDS = 1.0
_CHUNK_BYTES = 1024**2


def read_on(response: Response) -> Response:
    """Let an error reach the front door although the body is still being sent.

    gunicorn closes the connection after its answer. If bytes are unread then, the front door fails to write the rest,
    and may give the client 503 in place of the answer. It ends the connection once it has the answer.
    """
    connection = request.environ.get("gunicorn.socket")
    has_body = request.content_length or request.headers.get("Transfer-Encoding")
    if connection is not None and has_body and response.status_code >= 400:
        response.call_on_close(lambda: _read_until_closed(connection))
    return response


def _read_until_closed(connection: socket) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    connection.settimeout(LONGEST_SECONDS)
    with suppress(OSError):
        while time.monotonic() < deadline and connection.recv(_CHUNK_BYTES):
            pass
