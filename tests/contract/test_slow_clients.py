"""Clients that are slow, idle or send too much hold no one else up. All traffic passes the real front door."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.contract.test_uploads_and_deletion import JOBS
from tests.support.appliances import Api, wait_for
from tests.support.toy_recordings import loud_wav

PROMPT_SECONDS = 25.0  # a request that waits for the slow clients waits for 30 s or more


@contextlib.contextmanager
def connections(api: Api, count: int, head: str, body: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open connections that send this head and this body, and then nothing."""
    url = urlsplit(api.url)
    headers = f"Host: {url.netloc}\r\nX-API-Key: {api.key}\r\nAuthorization: {api.key}\r\n"
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection((url.hostname, url.port)))
            client.sendall((head.format(headers=headers)).encode() + body)
            clients.append(client)
        yield clients


def status_of(client: socket.socket) -> int | None:
    """The status of the answer, or None if there is none yet."""
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        return int(client.recv(4096).split()[1])
    return None


def assert_prompt(api: Api) -> None:
    """A call that reads and one that writes are answered while the slow clients are connected."""
    started = time.monotonic()
    api.get("/healthz")
    api.get(f"{JOBS}?limit=1")
    api.make_job()
    assert time.monotonic() - started < PROMPT_SECONDS


def test_unfinished_json_bodies_hold_no_thread(api: Api, other: Api) -> None:
    head = f"POST {JOBS} HTTP/1.1\r\n{{headers}}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    with connections(api, 60, head, b'{"model_id": ') as clients:
        assert_prompt(other)
        assert_prompt(api)
        assert [status_of(client) for client in clients] == [None] * 60  # all of them are still connected


def test_a_json_body_that_comes_in_pieces_is_accepted(api: Api) -> None:
    body = b'{"model_id": "loud-frames"}'
    head = f"POST {JOBS} HTTP/1.1\r\n{{headers}}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with connections(api, 1, head, body[:10]) as (client,):
        assert status_of(client) is None
        client.sendall(body[10:])
        assert wait_for(lambda: status_of(client)) == 201


def test_slow_uploads_of_one_tenant_leave_slots_for_another(api: Api, other: Api) -> None:
    # The front door passes an answer on when the next bytes of the body come.
    head = "POST /v2/upload HTTP/1.1\r\n{headers}Content-Length: 10000000\r\n\r\n"
    with connections(api, 40, head, bytes(300_000)) as clients:
        statuses: dict[socket.socket, int] = {}

        def refused() -> int:
            for client in clients:
                if client in statuses:
                    continue
                if status := status_of(client):
                    statuses[client] = status
                else:
                    with contextlib.suppress(ConnectionError):  # it was answered just now
                        client.sendall(bytes(1000))
            return len(statuses) == 24

        wait_for(refused)
        assert set(statuses.values()) == {429}
        upload = other.response("POST", "/v2/upload", data=loud_wav(), headers={"Authorization": str(other.key)})
        assert upload.status_code == 200
        mine = api.response("POST", "/v2/upload", data=b"x", headers={"Authorization": str(api.key)})
        assert (mine.status_code, mine.headers["Retry-After"]) == (429, "2")
        assert "16 of your uploads" in mine.json()["error"]
        assert_prompt(other)
    wait_for(lambda: api.response("POST", "/v2/upload", data=b"x", headers={"Authorization": str(api.key)}).ok)


def test_a_thousand_idle_connections_and_half_heads_stop_nobody(other: Api) -> None:
    with (
        connections(other, 500, ""),
        connections(other, 500, f"GET {JOBS} HTTP/1.1\r\nX-Half: "),
    ):
        assert_prompt(other)


@pytest.mark.parametrize("size", [100_000, 10_000_000])
def test_an_oversized_head_is_refused_and_stops_nobody(other: Api, size: int) -> None:
    head = f"GET {JOBS} HTTP/1.1\r\nX-Large: {'x' * size}\r\n\r\n"
    with contextlib.suppress(ConnectionError), connections(other, 1, head) as (client,):  # it may be cut at any moment
        client.settimeout(PROMPT_SECONDS)
        assert b" 431 " in client.recv(4096)
    assert_prompt(other)
