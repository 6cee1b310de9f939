"""One process of the appliance as a service of systemd, which starts, limits and restarts it.

The service is ready when its process answers, and its watchdog is fed by the same probes as those of ``up``.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import structlog

from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.state.database import Database
from appliance.storage.access import kept_ports, load_access, load_address
from appliance.storage.servers import choose_server
from appliance.supervisor import parts
from appliance.supervisor.child import Child
from appliance.supervisor.folders import lock_folder
from appliance.supervisor.hangs import HangWatch
from appliance.supervisor.notices import notify
from appliance.supervisor.parts import Part
from appliance.supervisor.ports import is_free

log = structlog.get_logger()

Name = Literal["storage", "head", "worker", "api", "frontdoor"]
POLL_SECONDS = 0.2


def serve(settings: Settings, name: Name) -> int:
    """Run one part of the appliance until SIGTERM. Returns 1 if its process ended by itself, so is to be restarted.

    Raises ConfigurationError, DataFolderInUse, StateError, StorageError. For the main thread only.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with _held(settings, name):
        running = [(part, Child(part.name, part.command, part.environment)) for part in parts_of(settings, name)]
        try:
            for part, child in running:
                _start(part, child)
            return _watch(settings, running, stopping)
        finally:
            notify("STOPPING=1")
            for part, child in running:
                child.stop(part.patience_seconds)


@contextmanager
def _held(settings: Settings, name: Name) -> Iterator[None]:
    """Hold the data folder and bring its database up to date, if this part works on it."""
    if name not in ("worker", "api"):
        yield
        return
    with lock_folder(settings.data_dir, shared=True):
        database = Database.of(settings)
        if name == "api" and database.path.exists():
            database.check()
        database.migrate()
        yield


def parts_of(settings: Settings, name: Name) -> list[Part]:
    """Return the processes of a part. Raises ConfigurationError if the settings want none."""
    if name == "storage":
        server = choose_server(settings, kept_ports(settings.data_dir))
        part = parts.storage(server)
        if part is None:
            raise ConfigurationError("storage_server = external: there is no storage server to start.")
        return [part]
    if name == "head":
        if (head := parts.head(settings)) is None:
            raise ConfigurationError("executor = local: there is no head of a cluster to start.")
        return [head]
    if name == "worker":
        return parts.workers(settings)
    socket_path = parts.api_socket(settings.data_dir)
    if name == "api":
        return [parts.api(settings, socket_path, load_access(settings.data_dir).arrivals_port)]
    return [parts.frontdoor(settings, load_address(settings.data_dir), socket_path)]


def _start(part: Part, child: Child) -> None:
    for port in part.ports:
        if not is_free("127.0.0.1", port):
            raise ConfigurationError(f"Another program listens on 127.0.0.1:{port}, which is the port of {part.name}.")
    part.probe(POLL_SECONDS)  # what an earlier process left must not count as an answer
    child.start()


def _watch(settings: Settings, running: list[tuple[Part, Child]], stopping: threading.Event) -> int:
    """Wait until all processes are ready, then until one ends or they are to be stopped."""

    def goes_on() -> bool:
        return all(child.running for _, child in running) and not stopping.wait(POLL_SECONDS)

    watches = [
        HangWatch(child, part.probe, settings.hang_seconds, answered=lambda: notify("WATCHDOG=1"))
        for part, child in running
    ]
    if _become_ready([part for part, _ in running], goes_on):
        notify(f"WATCHDOG_USEC={int(settings.hang_seconds * 1.5 * 1e6)}")
        notify("READY=1")
        for watch in watches:
            watch.start()
        while goes_on():
            pass
        for watch in watches:
            watch.stop()
    for _, child in running:
        if not child.running:
            log.error("process ended", name=child.name)
    return int(not stopping.is_set())


def _become_ready(waiting: list[Part], goes_on: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + parts.START_SECONDS
    for part in waiting:
        while not (part.is_ready() and part.probe(POLL_SECONDS)):
            if not goes_on() or time.monotonic() > deadline:
                return False
    return True
