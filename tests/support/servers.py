"""Fixtures that run the real servers: both storage servers, and a front door before each."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from appliance.config import Settings
from appliance.frontdoor import caddy
from appliance.frontdoor.door import FrontDoor, Tls
from appliance.storage.access import StorageAccess, save_access
from appliance.storage.local_server import free_ports
from appliance.storage.objects import ObjectStore
from appliance.storage.servers import StorageServer, choose_server, prepare
from tests.support.appliances import PATIENCE_SECONDS

ORIGIN = "https://pages.example"


@dataclass(frozen=True)
class RunningStorage:
    """A running storage server with its bucket and identities."""

    server: StorageServer
    access: StorageAccess
    store: ObjectStore
    settings: Settings
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class RunningDoor:
    """A front door before a storage server and an API that responds with the request that it received."""

    origin: str
    door: FrontDoor
    storage: RunningStorage
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def running(
    command: list[str],
    environment: dict[str, str] | None,
    log: Path,
    ready: Callable[[], bool],
    *,
    cwd: Path | None = None,
    stop_seconds: float = 15,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; its output goes to ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=cwd)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(stop_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running_storage(name: str, data_dir: Path) -> Iterator[RunningStorage]:
    """Run a new storage server with this name, and create its bucket and identities."""
    settings = Settings(data_dir=data_dir, storage_server=name, max_upload_bytes=3 * 1024**2)
    server = choose_server(settings)
    command = server.command()
    assert command is not None
    log = data_dir / "storage.log"
    with running(command, server.environment(), log, server.ready, stop_seconds=server.stop_seconds) as process:
        access = prepare(server, PATIENCE_SECONDS)
        save_access(data_dir, access)
        yield RunningStorage(server, access, ObjectStore(access), settings, process)


@contextlib.contextmanager
def running_door(
    storage: RunningStorage, folder: Path, api: str = "tests.frontdoor.echo:app", tls: Tls | None = None
) -> Iterator[RunningDoor]:
    """A front door and an API before a storage server."""
    port = free_ports(1)[0]
    socket = folder / "api.sock"
    door = FrontDoor(
        host="127.0.0.1",
        port=port,
        bucket=storage.access.bucket,
        storage_endpoint=storage.server.endpoint,
        storage_host=storage.server.signing_host,
        api_socket=socket,
        folder=folder / "door",
        max_upload_bytes=storage.settings.max_upload_bytes,
        max_batch_bytes=storage.settings.max_batch_bytes,
        cors_origins=(ORIGIN,),
        tls=tls,
    )
    scheme = "https" if tls else "http"

    def ready() -> bool:
        return listens(port, scheme=scheme)

    gunicorn = [sys.executable, "-m", "gunicorn", api, "--bind", f"unix:{socket}", "--threads", "4"]
    root = Path(__file__).parent.parent.parent
    with (
        running(gunicorn, None, folder / "api.log", socket.exists, cwd=root),
        running(caddy.command(door), caddy.environment(door), folder / "door.log", ready) as process,
    ):
        yield RunningDoor(f"{scheme}://127.0.0.1:{port}", door, storage, process, folder / "door.log")


def listens(port: int, status: int = 200, scheme: str = "http") -> bool:
    """Whether a front door responds on this port with this status."""
    try:
        return requests.get(f"{scheme}://127.0.0.1:{port}/", timeout=5, verify=False).status_code == status
    except requests.RequestException:  # also if the answer takes too long
        return False


@pytest.fixture(scope="session")
def minio_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStorage]:
    with running_storage("minio", tmp_path_factory.mktemp("minio")) as storage:
        yield storage


@pytest.fixture(scope="session")
def seaweedfs_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStorage]:
    with running_storage("seaweedfs", tmp_path_factory.mktemp("seaweedfs")) as storage:
        yield storage


@pytest.fixture(scope="session", params=["minio", "seaweedfs"])
def storage(request: pytest.FixtureRequest) -> RunningStorage:
    """Each storage server in turn."""
    return request.getfixturevalue(f"{request.param}_storage")


@pytest.fixture(scope="session")
def minio_door(minio_storage: RunningStorage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoor]:
    with running_door(minio_storage, tmp_path_factory.mktemp("minio-door")) as door:
        yield door


@pytest.fixture(scope="session")
def seaweedfs_door(
    seaweedfs_storage: RunningStorage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningDoor]:
    with running_door(seaweedfs_storage, tmp_path_factory.mktemp("seaweedfs-door")) as door:
        yield door


@pytest.fixture(scope="session", params=["minio", "seaweedfs"])
def door(request: pytest.FixtureRequest) -> RunningDoor:
    """The front door before each storage server in turn."""
    return request.getfixturevalue(f"{request.param}_door")
