"""Where callbacks may lead, and one POST that ends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.config import Settings
from appliance.errors import CallbackFailed, CallbackRefused
from appliance.services.box import Box
from appliance.services.webhooks.post import post
from appliance.services.webhooks.urls import parse_callback, resolve

DEFAULT = Settings.model_fields["webhook_networks"].default
CERTIFICATE = Path(__file__).parents[2] / "support" / "receiver.pem"
EVERYTHING = ["0.0.0.0/0", "::/0"]


def box_of(tmp_path: Path, networks: list[str], *ports: int) -> Box:
    settings = Settings(data_dir=tmp_path, webhook_networks=networks, port=8080)
    objects: Any = SimpleNamespace(local_ports=set(ports))
    return Box(settings, None, objects, None)  # type: ignore[arg-type]


def refused(box: Box, url: str) -> bool:
    try:
        resolve(box, parse_callback(url))
    except CallbackRefused:
        return True
    return False


@pytest.mark.parametrize("address", ["10.1.2.3", "172.16.0.9", "172.31.255.255", "192.168.1.1", "[fd00::1]"])
def test_private_addresses_are_called(tmp_path: Path, address: str) -> None:
    assert resolve(box_of(tmp_path, DEFAULT), parse_callback(f"http://{address}:9/a")) == address.strip("[]")


FORBIDDEN = ["127.0.0.1", "127.8.9.1", "[::1]", "169.254.169.254", "[fe80::1]", "0.0.0.0", "[::]", "224.0.0.1"]
DISGUISED = ["[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "2130706433", "127.1", "0x7f.1", "localhost"]
PUBLIC = ["8.8.8.8", "[2001:4860:4860::8888]", "172.32.0.1", "100.64.0.1", "[::ffff:8.8.8.8]"]


@pytest.mark.parametrize("address", FORBIDDEN + DISGUISED + PUBLIC)
def test_what_is_not_listed_is_refused(tmp_path: Path, address: str) -> None:
    assert refused(box_of(tmp_path, DEFAULT), f"http://{address}:9/a")


@pytest.mark.parametrize("address", FORBIDDEN + DISGUISED)
def test_a_network_of_everything_opens_neither_this_machine_nor_its_link(tmp_path: Path, address: str) -> None:
    assert refused(box_of(tmp_path, EVERYTHING), f"http://{address}:9/a")


@pytest.mark.parametrize("address", ["8.8.8.8", "[2001:4860:4860::8888]"])
def test_a_network_of_everything_opens_the_internet(tmp_path: Path, address: str) -> None:
    assert not refused(box_of(tmp_path, EVERYTHING), f"http://{address}:9/a")


def test_own_ports_are_refused_on_every_address_of_this_machine(tmp_path: Path) -> None:
    box = box_of(tmp_path, ["127.0.0.0/8", "10.0.0.0/8"], 9000)
    for port in (8080, 9000):
        assert refused(box, f"http://127.0.0.1:{port}/a")
        assert refused(box, f"http://127.0.0.2:{port}/a")
        assert not refused(box, f"http://10.255.255.254:{port}/a")  # another machine's
    assert not refused(box, "http://127.0.0.1:9001/a")


def test_a_name_with_one_address_that_may_be_called_leads_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", (address, port)) for address in ("127.0.0.1", "10.0.0.7")]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert resolve(box_of(tmp_path, DEFAULT), parse_callback("https://here.example/a")) == "10.0.0.7"
    assert asked == ["here.example"]


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
    callback = parse_callback(f"http://nowhere.invalid:{listener.getsockname()[1]}/a?b=c")
    assert post(callback, "127.0.0.1", b"{}", {"webhook-id": "1"}, 5) == 202
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
    started = time.monotonic()
    try:
        with pytest.raises(CallbackFailed, match="no answer within 1 s"):
            post(parse_callback(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/"), "127.0.0.1", b"{}", {}, 1.0)
    finally:
        stop.set()
        thread.join()
    assert time.monotonic() - started < 3


def test_a_receiver_that_is_not_there_is_told_of(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(CallbackFailed, match="refused"):
        post(parse_callback(f"http://127.0.0.1:{port}/"), "127.0.0.1", b"{}", {}, 5)


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
    callback = parse_callback(f"https://{host}:{listener.getsockname()[1]}/")
    if trusted:
        assert post(callback, "127.0.0.1", b"{}", {}, 5) == 200
    else:
        with pytest.raises(CallbackFailed, match="Hostname mismatch"):
            post(callback, "127.0.0.1", b"{}", {}, 5)
    thread.join()
    assert named == [host]
