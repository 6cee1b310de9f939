"""``up``: one process that runs the others and dies with them.

It starts storage, worker, API and front door in this order, and stops them in the reverse order. It restarts a process
that dies or hangs. If the supervisor dies, even by SIGKILL, the kernel kills its children.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self
from urllib.parse import urlsplit

import structlog
import urllib3

from appliance.config import Settings
from appliance.errors import ConfigurationError, DataFolderInUse, StorageUnavailable
from appliance.frontdoor import caddy
from appliance.frontdoor.door import FrontDoor
from appliance.services.health import NEEDED_TO_START
from appliance.services.keys import create_first_key
from appliance.services.pulse import pulse_file
from appliance.state import workers
from appliance.state.database import Database
from appliance.storage.servers import StorageServer, choose_server
from appliance.supervisor import tether
from appliance.supervisor.child import Child, PortTaken
from appliance.supervisor.hangs import HangWatch, Probe, answers, changes
from appliance.supervisor.ports import free_port, is_free

log = structlog.get_logger()

START_SECONDS = 120.0
LONGEST_SOCKET_PATH = 90  # the kernel's limit is 108
PATIENCE_SECONDS = {"frontdoor": 6.0, "api": 12.0, "worker": 12.0}


class Supervisor:
    """The running appliance. Enter it to start everything, leave it to stop everything. For the main thread only."""

    def __init__(self, settings: Settings) -> None:
        try:
            port = settings.port or free_port(settings.host)
        except OSError as error:
            raise ConfigurationError(f"{settings.host} is not an address of this machine: {error.strerror}.") from error
        self.settings = settings.model_copy(update={"port": port, "data_dir": settings.data_dir.absolute()})
        self.first_key: str | None = None
        self.notices: list[str] = []  # each is one line that the operator should read
        self._unready = "no response"  # why the appliance was not ready when last asked
        self._open = ExitStack()
        self._patience_seconds = dict(PATIENCE_SECONDS)
        self._children: list[Child] = []
        self._watches: list[HangWatch] = []

    @property
    def url(self) -> str:
        """The origin at which this machine reaches the front door."""
        return origin_of(self.settings)

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

    def _start(self) -> None:
        self._make_folders()
        self._lock_folder()
        if not is_free(self.settings.host, self.settings.port):
            raise ConfigurationError(
                f"{self.settings.host}:{self.settings.port} is already in use, or this user may not listen on it."
            )
        database = Database.of(self.settings)
        if database.path.exists():
            database.check()
        database.migrate()
        server = self._start_processes()
        if server.notice:
            self.notices.append(server.notice)
        worker = workers.current(database)
        if worker and worker.provider == "cpu" and self.settings.provider == "auto":
            self.notices.append("Models run on the CPU, not on CUDA. `doctor` says why.")
        self.first_key = create_first_key(database)  # last, so that a key is never created without being shown

    def _make_folders(self) -> None:
        """Make the data folder one that no other user of this machine can read, also if it was there before."""
        os.umask(0o077)
        data_dir = self.settings.data_dir
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            mode = data_dir.stat().st_mode
            if mode & stat.S_ISVTX:
                raise ConfigurationError(f"{data_dir} is shared by all users of this machine; name a folder inside it.")
            if mode & 0o077:
                data_dir.chmod(0o700)
            for folder in (data_dir / "logs", data_dir / "run"):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {data_dir} cannot be made private to this user: {error.strerror}."
            ) from error

    def _start_processes(self) -> StorageServer:
        """Choose ports, start every process, and wait until the appliance is ready."""
        server = choose_server(self.settings)
        self._start_storage(server)
        self._run("worker", [sys.executable, "-m", "appliance.worker"], self._environment())
        self._watch_for_hangs(changes(pulse_file(self.settings.data_dir)))
        socket = self._api_socket()
        threads = self.settings.api_threads + self.settings.streamed_uploads
        arrivals = (server.arrivals_port,) if server.arrivals_port else ()
        self._run("api", _gunicorn(socket, server.arrivals_port, threads), self._environment(), arrivals)
        self._watch_for_hangs(answers(socket, "/healthz"))
        door = self._front_door(server, socket)
        self._run("frontdoor", caddy.command(door), caddy.environment(door), aside=caddy.STRANGERS)
        own = urlsplit(self.url)
        # The front door refuses this path by itself: its answer says nothing about the API or storage.
        self._watch_for_hangs(answers((own.hostname or "", self.settings.port), f"/{door.bucket}"))
        self._wait_until_ready("The appliance", self._ready, START_SECONDS)
        for watch in self._watches:
            watch.start()
        return server

    def _stop_processes(self) -> None:
        while self._watches:
            self._watches.pop().stop()
        while self._children:
            child = self._children.pop()
            child.stop(self._patience_seconds[child.name])

    def _lock_folder(self) -> None:
        lock = self._open.enter_context((self.settings.data_dir / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderInUse(f"Another appliance is serving {self.settings.data_dir}.") from None

    def _start_storage(self, server: StorageServer) -> None:
        if command := server.command():
            self._patience_seconds["storage"] = server.stop_seconds
            self._run("storage", command, server.environment(), server.ports)
            storage = urlsplit(server.endpoint)
            self._watch_for_hangs(answers((storage.hostname or "", storage.port or 80), "/"))
        self._wait_until_ready("Object storage", server.ready, START_SECONDS)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                server.prepare()
                return
            except StorageUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _run(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        ports: tuple[int, ...] = (),
        aside: re.Pattern[bytes] | None = None,
    ) -> None:
        child = Child(name, command, environment, self.settings.data_dir / "logs", ports, aside)
        child.start()
        self._children.append(child)

    def _watch_for_hangs(self, probe: Probe) -> None:
        """Watch the process that was started last, from the moment at which the appliance is ready."""
        self._watches.append(HangWatch(self._children[-1], probe, self.settings.hang_seconds))

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
            response = urllib3.request("GET", f"{self.url}/readyz", timeout=2.0, retries=False)
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

    def _environment(self) -> dict[str, str]:
        """Return this process's environment with the settings of the command line, and with absolute paths."""
        config = os.environ.get("APPLIANCE_CONFIG")
        return dict(os.environ) | {
            **({"APPLIANCE_CONFIG": os.path.abspath(config)} if config else {}),
            "APPLIANCE_MODEL_STORE": str(self.settings.model_store.absolute()),
            "APPLIANCE_DATA_DIR": str(self.settings.data_dir),
            "APPLIANCE_HOST": self.settings.host,
            "APPLIANCE_PORT": str(self.settings.port),
            "PYTHONUNBUFFERED": "1",
        }

    def _api_socket(self) -> Path:
        socket = self.settings.data_dir / "run" / "api.sock"
        if len(str(socket)) <= LONGEST_SOCKET_PATH:
            return socket
        return Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="appliance-"))) / "api.sock"

    def _front_door(self, server: StorageServer, socket: Path) -> FrontDoor:
        return FrontDoor(
            host=self.settings.host,
            port=self.settings.port,
            bucket=self.settings.storage_bucket,
            storage_endpoint=server.endpoint,
            storage_host=server.signing_host,
            api_socket=socket,
            folder=self.settings.data_dir / "frontdoor",
            max_upload_bytes=self.settings.max_upload_bytes,
            max_batch_bytes=self.settings.max_batch_bytes,
            cors_origins=tuple(self.settings.cors_origins),
            trusted_proxies=tuple(self.settings.trusted_proxies),
            log_level=self.settings.log_level,
        )


def origin_of(settings: Settings) -> str:
    """Return the scheme, host and port at which this machine reaches the front door."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _gunicorn(socket: Path, arrivals_port: int | None, threads: int) -> list[str]:
    options = {
        "--bind": f"unix:{socket}",
        "--workers": "1",  # one process writes under one lock; several would wait for SQLite's lock
        "--worker-class": "gthread",
        "--threads": str(threads),
        "--forwarded-allow-ips": "*",  # only the front door can reach the socket
        "--forwarder-headers": "",  # by default a request's SCRIPT_NAME would change its path
        "--graceful-timeout": "10",
        # The front door limits a request's head. A request that passes it gets the API's error, not a page of gunicorn.
        "--limit-request-line": "0",
        "--limit-request-fields": "32768",
        "--limit-request-field_size": str(128 * 1024),
        "--umask": "0o077",
        "--log-level": "warning",
    }
    command = [sys.executable, "-m", "gunicorn", "appliance.wsgi:create()", "--no-control-socket"]
    command += ["--config", f"python:{tether.__name__}"]
    if arrivals_port is not None:
        command += ["--bind", f"127.0.0.1:{arrivals_port}"]
    return command + [part for option in options.items() for part in option]
