"""Bodies that arrive slowly: how long the front door waits for them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import requests

from appliance.frontdoor import api_routes, storage_routes
from appliance.frontdoor.paths import RAW_UPLOAD
from tests.frontdoor.test_uploads import form_of, new_key
from tests.support.appliances import PATIENCE_SECONDS
from tests.support.servers import RunningDoor, RunningStorage, running_door

LIMITS = (1, 50_000)  # a pause of 1 s and 50 kB a second
SIZE = 1_000_000


@pytest.fixture(scope="module")
def strict_door(minio_storage: RunningStorage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoor]:
    """A front door that waits for seconds, not for minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api_routes, "JSON_LIMITS", LIMITS)
        patch.setattr(api_routes, "UPLOAD_LIMITS", LIMITS)
        patch.setattr(storage_routes, "LIMITS", LIMITS)
        with running_door(minio_storage, tmp_path_factory.mktemp("strict-door")) as door:
            yield door


class Pieces:
    """A body in ``count`` equal pieces, with a pause before each but the first."""

    def __init__(self, body: bytes, count: int, pause_seconds: float) -> None:
        self.body = body
        self.count = count
        self.pause_seconds = pause_seconds

    def __len__(self) -> int:
        return len(self.body)

    def __iter__(self) -> Iterator[bytes]:
        size = -(-len(self.body) // self.count)
        for start in range(0, len(self.body), size):
            time.sleep(self.pause_seconds if start else 0)
            yield self.body[start : start + size]


@pytest.mark.parametrize("path", ["/api/v1/inference-jobs", RAW_UPLOAD])
def test_a_body_with_pauses_passes(strict_door: RunningDoor, path: str) -> None:
    response = requests.post(strict_door.origin + path, data=Pieces(bytes(SIZE), 4, 0.5), timeout=PATIENCE_SECONDS)
    assert (response.status_code, response.json()["body_bytes"]) == (200, SIZE)


@pytest.mark.parametrize("path", ["/api/v1/inference-jobs", RAW_UPLOAD])
def test_a_body_of_single_bytes_is_cut_off(strict_door: RunningDoor, path: str) -> None:
    """It never pauses, but it is slower than the least rate."""
    port = int(strict_door.origin.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n".encode())
        client.settimeout(0.2)
        started = time.monotonic()
        while True:
            assert time.monotonic() - started < PATIENCE_SECONDS
            try:
                client.sendall(b" ")
                status = int((client.recv(4096) or b"- 0").split()[1])
                break
            except TimeoutError:
                continue
            except ConnectionError:
                status = 0
                break
        assert status in (0, 499, 504)


def test_an_answer_may_take_longer_than_a_pause(strict_door: RunningDoor) -> None:
    url, waiting = f"{strict_door.origin}/api/v1/datasets", {"X-Wait": "2"}
    response = requests.post(url, data=b"{}", headers=waiting, timeout=PATIENCE_SECONDS)
    assert response.status_code == 200


def test_an_upload_to_storage_may_pause(strict_door: RunningDoor) -> None:
    key = new_key()
    form = form_of(strict_door, key, size_bytes=SIZE)
    whole = requests.Request("POST", form.url, data=form.fields, files={"file": bytes(SIZE)}).prepare()
    assert isinstance(whole.body, bytes)
    halves = Pieces(whole.body, 2, 2)  # longer than the pause: what has arrived has earned more time
    headers = {"Content-Type": whole.headers["Content-Type"]}
    assert requests.post(form.url, data=halves, headers=headers, timeout=PATIENCE_SECONDS).status_code == 204
    assert strict_door.storage.store.stat(key).size_bytes == SIZE
