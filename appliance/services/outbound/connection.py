"""One bounded connection to one address: no redirect is followed, and a slow machine cannot prolong it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator

from appliance.errors import RemoteFailed
from appliance.services.outbound.addresses import Destination


@contextlib.contextmanager
def connected(
    destination: Destination, address: str, seconds: float, stall_seconds: float | None = None
) -> Iterator[http.client.HTTPConnection]:
    """Connect to ``address`` under the destination's host name, for ``seconds`` at most.

    It ends earlier if nothing arrives for ``stall_seconds``. Raises RemoteFailed, also for what fails in the block.
    """
    secure = destination.scheme == "https"
    connection_type = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connection_type(destination.host, destination.port)
    stall_seconds = min(stall_seconds or seconds, seconds)
    deadline = time.monotonic() + seconds
    cut = threading.Timer(seconds, _cut, [connection])
    cut.daemon = True
    cut.start()
    try:
        connection.sock = socket.create_connection((address, destination.port), timeout=stall_seconds)
        if secure:
            context = ssl.create_default_context()
            connection.sock = secured = context.wrap_socket(
                connection.sock, server_hostname=destination.host, do_handshake_on_connect=False
            )
            secured.do_handshake()
        yield connection
        if time.monotonic() >= deadline:  # an answer that was cut off can look like a whole one
            raise TimeoutError
    except (OSError, ValueError, http.client.HTTPException) as error:
        if time.monotonic() >= deadline:
            reason = f"no answer within {seconds:g} s"
        elif isinstance(error, TimeoutError):
            reason = f"silent for {stall_seconds:g} s"
        else:
            reason = str(error) or type(error).__name__
        raise RemoteFailed(f"{destination.host}:{destination.port}: {reason}.") from error
    finally:
        cut.cancel()
        connection.close()


def _cut(connection: http.client.HTTPConnection) -> None:
    """End the wait of another thread: a socket's own timeout starts again with every byte."""
    if sock := connection.sock:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
