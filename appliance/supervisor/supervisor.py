"""``up``: one process that runs the others and dies with them.

It starts storage, the workers, API and front door in this order, and stops them in the reverse order. It restarts a
process that dies or hangs. If the supervisor dies, even by SIGKILL, the kernel kills its children.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import structlog
import urllib3

from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.services.health import NEEDED_TO_START
from appliance.services.keys import create_first_key
from appliance.state import workers
from appliance.state.database import Database
from appliance.storage.access import StorageAccess, kept_ports, save_access, save_address
from appliance.storage.servers import StorageServer, choose_server, prepare
from appliance.supervisor import parts
from appliance.supervisor.child import Child, PortTaken
from appliance.supervisor.folders import lock_folder, make_folders
from appliance.supervisor.hangs import HangWatch
from appliance.supervisor.parts import Part
from appliance.supervisor.ports import is_free, reserve_port

log = structlog.get_logger()

UNIT_FOLDERS = ("objects", "frontdoor", "tmp", "spool")  # a unit sees only folders that exist when it starts
LONGEST_SOCKET_PATH = 90  # the kernel's limit is 108


class Supervisor:
    """The running appliance. Enter it to start everything, leave it to stop everything. For the main thread only."""

    def __init__(self, settings: Settings) -> None:
        self._open = ExitStack()
        try:
            port = settings.port or self._open.enter_context(reserve_port(settings.host)).getsockname()[1]
        except OSError as error:
            raise ConfigurationError(f"{settings.host} is not an address of this machine: {error.strerror}.") from error
        self.settings = settings.model_copy(update={"port": port, "data_dir": settings.data_dir.absolute()})
        self.first_key: str | None = None
        self.notices: list[str] = []  # each is one line that the operator should read
        self._unready = "no response"  # why the appliance was not ready when last asked
        self._patience_seconds: dict[str, float] = {}
        self._children: list[Child] = []
        self._watches: list[HangWatch] = []

    @property
    def url(self) -> str:
        """The origin at which this machine reaches the front door."""
        return parts.origin_of(self.settings)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def watch(self) -> NoReturn:
        """Restart processes that die or hang, until an exception such as KeyboardInterrupt ends this."""
        while True:
            time.sleep(0.2)
            try:
                for child in self._children:
                    child.restart_if_dead()
            except PortTaken as error:
                # The other processes know the port too: it is in the front door's routes and in the access file.
                log.warning("every process is started again, with other ports", reason=str(error))
                self._stop_processes()
                self._start_processes()

    def stop(self) -> None:
        """Stop everything in order. May be called again."""
        self._stop_processes()
        self._open.close()

    def prepare(self) -> str | None:
        """Make the data folder and the secrets ready for the units of systemd, with nothing but storage running.

        Returns the first key if it was created now. Raises ConfigurationError, StorageUnavailable, StorageError.
        """
        database = self._open_data_folder()
        for name in UNIT_FOLDERS:
            (self.settings.data_dir / name).mkdir(exist_ok=True)
        ports = kept_ports(self.settings.data_dir)
        server = choose_server(self.settings, ports if all(is_free("127.0.0.1", port) for port in ports) else ())
        if server.name == "seaweedfs":
            raise ConfigurationError("The units of systemd run MinIO or use an external storage, not SeaweedFS.")
        access = self._start_storage(server)
        save_address(self.settings.data_dir, access.address)
        return create_first_key(database)

    def _start(self) -> None:
        if not is_free(self.settings.host, self.settings.port):
            raise ConfigurationError(
                f"{self.settings.host}:{self.settings.port} is already in use, or this user may not listen on it."
            )
        database = self._open_data_folder()
        server = self._start_processes()
        if server.notice:
            self.notices.append(server.notice)
        providers = {worker.provider for worker in workers.everyone(database)}
        if "cpu" in providers and self.settings.provider == "auto":
            self.notices.append("Models run on the CPU, not on CUDA. `doctor` says why.")
        self.first_key = create_first_key(database)  # last, so that a key is never created without being shown

    def _open_data_folder(self) -> Database:
        make_folders(self.settings.data_dir)
        self._open.enter_context(lock_folder(self.settings.data_dir))
        database = Database.of(self.settings)
        if database.path.exists():
            database.check()
        database.migrate()
        return database

    def _start_processes(self) -> StorageServer:
        """Choose ports, start every process, and wait until the appliance is ready."""
        server = choose_server(self.settings)
        access = self._start_storage(server)
        if head := parts.head(self.settings):
            self._run(head)
            self._wait_until_ready("The head of the cluster", head.is_ready, parts.START_SECONDS)
        for worker in parts.workers(self.settings):
            self._run(worker)
        socket = self._api_socket()
        self._run(parts.api(self.settings, socket, server.arrivals_port))
        self._run(parts.frontdoor(self.settings, access.address, socket))
        self._wait_until_ready("The appliance", self._ready, parts.START_SECONDS)
        for watch in self._watches:
            watch.start()
        return server

    def _stop_processes(self) -> None:
        while self._watches:
            self._watches.pop().stop()
        while self._children:
            child = self._children.pop()
            child.stop(self._patience_seconds[child.name])

    def _start_storage(self, server: StorageServer) -> StorageAccess:
        part = parts.storage(server)
        if part:
            self._run(part)
        self._wait_until_ready("Object storage", server.ready, parts.START_SECONDS)
        access = prepare(server, parts.START_SECONDS)
        save_access(self.settings.data_dir, access)
        return access

    def _run(self, part: Part) -> None:
        """Start a process, and watch for hangs from the moment at which the appliance is ready."""
        logs = self.settings.data_dir / "logs"
        child = Child(part.name, part.command, part.environment, logs, part.ports, part.aside)
        child.start()
        self._children.append(child)
        self._patience_seconds[part.name] = part.patience_seconds
        self._watches.append(HangWatch(child, part.probe, self.settings.hang_seconds))

    def _wait_until_ready(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until ``ready`` returns True.

        Raises ConfigurationError with the reason if a process dies or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            dead = next((child for child in self._children if not child.running), None)
            if time.monotonic() > deadline or dead:
                late = f"not ready within {seconds:.0f} s: {self._unready}"
                reason = f"{dead.name} died: {dead.last_lines()}" if dead else late
                logs = self.settings.data_dir / "logs"
                raise ConfigurationError(f"{name} did not start; {reason}\nThe logs are in {logs}.")
            time.sleep(0.1)

    def _ready(self) -> bool:
        """Whether the front door answers, and everything that serving needs. A full disk is no reason not to start."""
        try:
            response = parts.answer_of(self.settings, "/readyz", 10.0)
        except urllib3.exceptions.HTTPError as error:
            self._unready = str(error)
            return False
        try:
            checks = response.json()["checks"]
        except (ValueError, KeyError):  # the front door answers for an API that does not run yet
            self._unready = f"it answered {response.status}"
            return False
        faults = [name for name, check in checks.items() if not check["ok"]]
        self._unready = f"{', '.join(faults)}; `doctor` says why"
        return not any(name in NEEDED_TO_START for name in faults)

    def _api_socket(self) -> Path:
        socket = parts.api_socket(self.settings.data_dir)
        if len(str(socket)) <= LONGEST_SOCKET_PATH:
            return socket
        return Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="appliance-"))) / "api.sock"
