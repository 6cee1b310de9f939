"""One POST that ends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from appliance.errors import RemoteFailed
from appliance.services.outbound.addresses import parse_url
from appliance.services.webhooks.post import post

CERTIFICATE = Path(__file__).parents[2] / "support" / "receiver.pem"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def whole_request(connection: socket.socket) -> bytes:
    """Head and body, which come in pieces; a server that closes before it read them all resets the connection."""
    received = b""
    while not received.endswith(b"\r\n\r\n{}"):
        received += connection.recv(65536) or pytest.fail(f"the request ends in {received[-50:]!r}")
    return received


def test_the_post_goes_to_the_address_that_was_looked_at(listener: socket.socket) -> None:
    """Its name resolves to nothing; the connection needs no second look."""
    seen = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            seen.append(whole_request(connection))
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    callback = parse_url(f"http://nowhere.invalid:{listener.getsockname()[1]}/a?b=c")
    assert post(callback, "127.0.0.1", b"{}", {"webhook-id": "1"}, 60) == 202
    thread.join()
    head = seen[0].split(b"\r\n")
    assert head[0] == b"POST /a?b=c HTTP/1.1"
    assert f"Host: nowhere.invalid:{listener.getsockname()[1]}".encode() in head


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_answers_drop_by_drop_is_left(listener: socket.socket, scheme: str) -> None:
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                # A TLS record that never becomes whole, and a status line that never ends.
                connection.sendall(b"\x16\x03\x03\x3f\xff" if scheme == "https" else b"HTTP/1.1 200 ")
                while not stop.wait(0.1):
                    connection.sendall(b"O")
            except OSError:
                pass

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        with pytest.raises(RemoteFailed, match="no HTTP answer in time"):
            post(parse_url(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/"), "127.0.0.1", b"{}", {}, 1.0)
    finally:
        stop.set()
        thread.join()


def test_only_the_operator_learns_why_a_receiver_cannot_be_reached(listener: socket.socket) -> None:
    """A client that could tell a closed port from an open one would have a port scanner."""
    closed, silent, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(3))
    closed_url, silent_url, other_url = (
        f"http://127.0.0.1:{server.getsockname()[1]}/" for server in (closed, silent, other)
    )
    closed.close()

    def answer() -> None:
        connection, _ = other.accept()
        with connection:
            whole_request(connection)
            connection.sendall(b"SSH-2.0-OpenSSH\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    told = []
    with capture_logs() as lines:
        for url, seconds in ((closed_url, 60), (silent_url, 0.5), (other_url, 60)):
            with pytest.raises(RemoteFailed) as error:
                post(parse_url(url), "127.0.0.1", b"{}", {}, seconds)
            told.append(str(error.value).replace(url.removeprefix("http://").rstrip("/"), "HOST"))
    thread.join()
    assert set(told) == {"HOST: cannot be reached, or gave no HTTP answer in time."}
    reasons = [line["reason"] for line in lines]
    assert "refused" in reasons[0]
    assert "no answer within 0.5 s" in reasons[1]
    assert "SSH" in reasons[2]
    silent.close()
    other.close()


@pytest.mark.parametrize(("host", "trusted"), [("receiver.example", True), ("other.example", False)])
def test_a_certificate_is_checked_against_the_name(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool
) -> None:
    """receiver.pem is a key and its own certificate, for receiver.example and for nothing but this test."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    named = []
    context.sni_callback = lambda _, name, __: named.append(name)

    def serve() -> None:
        plain, _ = listener.accept()
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
            whole_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    callback = parse_url(f"https://{host}:{listener.getsockname()[1]}/")
    if trusted:
        assert post(callback, "127.0.0.1", b"{}", {}, 60) == 200
    else:
        with capture_logs() as lines, pytest.raises(RemoteFailed, match="cannot be reached"):
            post(callback, "127.0.0.1", b"{}", {}, 60)
        assert "Hostname mismatch" in lines[0]["reason"]
    thread.join()
    assert named == [host]
