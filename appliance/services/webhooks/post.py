"""One bounded POST to one address: no redirect is followed, and a slow receiver cannot prolong it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time

from appliance.errors import CallbackFailed
from appliance.services.webhooks.urls import Callback


def post(callback: Callback, address: str, body: bytes, headers: dict[str, str], seconds: float) -> int:
    """Post to ``address`` under the callback's host name and return the HTTP status.

    Raises CallbackFailed if there is no answer within ``seconds``.
    """
    secure = callback.scheme == "https"
    connection_type = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connection_type(callback.host, callback.port)
    deadline = time.monotonic() + seconds
    cut = threading.Timer(seconds, _cut, [connection])
    cut.daemon = True
    cut.start()
    try:
        connection.sock = socket.create_connection((address, callback.port), timeout=seconds)
        if secure:
            context = ssl.create_default_context()
            connection.sock = secured = context.wrap_socket(
                connection.sock, server_hostname=callback.host, do_handshake_on_connect=False
            )
            secured.do_handshake()
        connection.request("POST", callback.target, body, headers)
        status = connection.getresponse().status
        if time.monotonic() >= deadline:  # an answer that was cut off can look like a whole one
            raise TimeoutError
        return status
    except (OSError, ValueError, http.client.HTTPException) as error:
        late = time.monotonic() >= deadline
        reason = f"no answer within {seconds:g} s" if late else str(error) or type(error).__name__
        raise CallbackFailed(f"{callback.host}:{callback.port}: {reason}.") from error
    finally:
        cut.cancel()
        connection.close()


def _cut(connection: http.client.HTTPConnection) -> None:
    """End the wait of another thread: a socket's own timeout starts again with every byte."""
    if sock := connection.sock:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
