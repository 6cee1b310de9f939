"""Processes that hang, that outlive their parent, or whose port is taken. The appliance goes on by itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.appliances import Api, Appliance, bundled_storage, children, kill, running_appliance, wait_for
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

THREADS = 2


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance with two threads in the API, whose processes may hang for eight seconds."""
    folder = tmp_path_factory.mktemp("hanging")
    settings = {"hang_seconds": 8, "lease_seconds": 5, "api_threads": 1, "streamed_uploads": THREADS - 1}
    with running_appliance(folder, models, storage_server="minio", **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def _wait_until_ready(appliance: Appliance) -> None:
    wait_for(appliance.ready)


def assert_works(appliance: Appliance, api: Api) -> None:
    """Wait until the appliance is ready, and send a file."""
    wait_for(appliance.ready)
    job_id = api.make_job()
    api.send(job_id, loud_wav())
    assert api.finished_job(job_id)["files"][0]["detections"] == LOUD_DETECTIONS


def pids(appliance: Appliance, *names: str) -> dict[str, int]:
    return {name: appliance.pid(name) for name in names}


@bundled_storage
def test_processes_that_hang_are_restarted_and_no_other(appliance: Appliance, api: Api) -> None:
    before, bystander = pids(appliance, "storage", "worker", "frontdoor"), appliance.pid("api")
    for pid in before.values():
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all(appliance.pid(name) not in (0, pid) for name, pid in before.items()))
    assert appliance.pid("api") == bystander
    assert_works(appliance, api)


def test_an_api_whose_threads_all_hang_is_restarted(appliance: Appliance, api: Api) -> None:
    """The front door is left out: it may refuse to pass on a body that is slow."""
    before = appliance.pid("api")
    request = b"POST /api/v1/inference-jobs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    head = f"X-API-Key: {api.key}\r\nContent-Length: 100\r\n\r\n{{".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(THREADS):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(appliance.data_dir / "run" / "api.sock"))
            connection.sendall(request + head)
        wait_for(lambda: appliance.pid("api") not in (0, before))
    assert_works(appliance, api)


def test_no_worker_of_the_api_outlives_its_arbiter(appliance: Appliance, api: Api) -> None:
    """It is stopped in the middle of a request, so it cannot end by itself. It could hold the database's lock."""
    arbiter = appliance.pid("api")
    (worker,) = children(arbiter)
    os.kill(worker, signal.SIGSTOP)
    request = threading.Thread(target=lambda: api.response("GET", "/api/v1/inference-jobs"))
    request.start()
    os.kill(arbiter, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{worker}").exists())
    request.join()
    assert_works(appliance, api)


@bundled_storage
def test_ports_that_another_program_took_are_given_up(appliance: Appliance, api: Api) -> None:
    access = json.loads((appliance.data_dir / "secrets" / "storage-access.json").read_text())
    with contextlib.ExitStack() as stack:
        for name, port in (("storage", urlsplit(access["endpoint"]).port), ("api", access["arrivals_port"])):
            stack.enter_context(other_program(appliance, name, port))
        assert_works(appliance, api)


@contextlib.contextmanager
def other_program(appliance: Appliance, name: str, port: int) -> Iterator[None]:
    """A server that takes the port of a process, which is killed until it does, and closes every connection."""

    class Taker(socketserver.TCPServer):
        allow_reuse_address = True

    def take() -> Taker | None:
        if pid := appliance.pid(name):
            kill(pid)
        with contextlib.suppress(OSError):
            return Taker(("127.0.0.1", port), socketserver.BaseRequestHandler)
        return None

    with wait_for(take, every_seconds=0.01) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield
        server.shutdown()
        thread.join()
