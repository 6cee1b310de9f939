"""One bounded connection to one address: no redirect is followed, and a slow machine cannot prolong it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import structlog

from appliance.errors import RemoteFailed
from appliance.services.outbound.addresses import Destination

log = structlog.get_logger()


class Remote:
    """A connection to ``address`` under the destination's host name, for ``seconds`` at most.

    It ends earlier if nothing arrives for ``stall_seconds``.
    """

    def __init__(
        self, destination: Destination, address: str, seconds: float, stall_seconds: float | None = None
    ) -> None:
        self._destination = destination
        self._address = address
        self._seconds = seconds
        self._stall_seconds = min(stall_seconds or seconds, seconds)
        self._deadline = time.monotonic() + seconds
        secure = destination.scheme == "https"
        connection_type = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = connection_type(destination.host, destination.port)
        # Kept here too: http.client forgets the socket when the answer says that the server closes the connection.
        self._socket: socket.socket | None = None
        self._response: http.client.HTTPResponse | None = None

    def request(self, method: str, headers: dict[str, str], body: bytes | None = None) -> http.client.HTTPResponse:
        """Connect, send the request and return the answer. Raises RemoteFailed."""
        with self._translated():
            self._connect()
            self._connection.request(method, self._destination.target, body, headers)
            response = self._connection.getresponse()
        self._response = response
        return response

    def read(self, size: int) -> bytes:
        """Return what has arrived of the answer's body, up to ``size`` bytes, none at its end. Raises RemoteFailed."""
        assert self._response is not None
        with self._translated():
            return self._response.read1(size)

    def close(self) -> None:
        """Close the connection."""
        if self._response is not None:
            self._response.close()
        self._connection.close()
        if self._socket is not None:
            self._socket.close()

    def cut(self) -> None:
        """End the wait of another thread: a socket's own timeout starts again with every byte."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _connect(self) -> None:
        place = (self._address, self._destination.port)
        self._socket = socket.create_connection(place, timeout=self._stall_seconds)
        if self._destination.scheme == "https":
            self._socket = secured = ssl.create_default_context().wrap_socket(
                self._socket, server_hostname=self._destination.host, do_handshake_on_connect=False
            )
            secured.do_handshake()
        self._connection.sock = self._socket

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
            if time.monotonic() >= self._deadline:  # an answer that was cut off can look like a whole one
                raise TimeoutError
        except (OSError, ValueError, http.client.HTTPException) as error:
            if time.monotonic() >= self._deadline:
                reason = f"no answer within {self._seconds:g} s"
            elif isinstance(error, TimeoutError):
                reason = f"silent for {self._stall_seconds:g} s"
            else:
                reason = str(error) or type(error).__name__
            if self._response is None:
                # One sentence for all reasons: a client must not learn which ports of the network are open.
                log.info("remote failed", host=self._destination.host, port=self._destination.port, reason=reason)
                reason = "cannot be reached, or gave no HTTP answer in time"
            raise RemoteFailed(f"{self._destination.host}:{self._destination.port}: {reason}.") from error


@contextlib.contextmanager
def connected(
    destination: Destination, address: str, seconds: float, stall_seconds: float | None = None
) -> Iterator[Remote]:
    """Open a Remote for the block."""
    remote = Remote(destination, address, seconds, stall_seconds)
    timer = threading.Timer(seconds, remote.cut)
    timer.daemon = True
    timer.start()
    try:
        yield remote
    finally:
        timer.cancel()
        remote.close()
