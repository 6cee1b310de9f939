"""``python -m appliance.supervisor.ray_node``: the head of the cluster beside the box. Nodes run theirs by ``join``.

Ray starts several processes for itself. They run in a session of their own and all end with the one that started them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from appliance.config import Settings, load_settings
from appliance.engine.models.gpus import list_gpus
from appliance.errors import ConfigurationError
from appliance.locks import held
from appliance.log import configure_logging
from appliance.services.cluster import LABEL, environment, ray_version, read_token, token_file, versions
from appliance.supervisor import tether
from appliance.supervisor.notices import notify
from appliance.supervisor.ports import free_port

log = structlog.get_logger()

STORE_BYTES = 256 * 1024**2  # models and answers on their way; audio never goes through Ray
LONGEST_FOLDER = 40  # Ray's sockets have up to 65 characters more, and the kernel allows 107
STOP_SECONDS = 8.0
STEP_SECONDS = 0.5
FIRST_WAIT_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 30.0
STEADY_SECONDS = 60.0  # if it was in the cluster for so long, the waits begin anew
KEPT_OUTPUT = 4000
# If the ports of its agents are not given, Ray gives up if an agent needs more than 15 s to start. If they are, it
# still does so for one of them.
AGENT_PORTS = (
    "runtime-env-agent-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
)
INHERITED = (
    *("LANG", "HOME", "PYTHONPATH", "APPLIANCE_CONFIG"),  # a node also has all other settings
    *("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "NVIDIA_VISIBLE_DEVICES"),
)


@dataclass(frozen=True)
class Join:
    """How a machine joins a box: ``box`` is the address and port of the head, ``listen`` the own address."""

    box: str
    name: str
    listen: str
    token: Path


def head_command(settings: Settings) -> list[str]:
    """Return what Ray is started with on the box, without its folder. No engine runs there."""
    host, _, port = settings.cluster_listen.rpartition(":")
    return [
        *("start", "--head", "--num-cpus=0", "--num-gpus=0", "--include-dashboard=false", "--no-monitor"),
        *(f"--node-ip-address={host.strip('[]')}", f"--port={port}", "--node-name=box"),
    ]


def join_command(settings: Settings, join: Join) -> list[str]:
    """Return what Ray is started with on a node, without its folder: an engine for each GPU, or one."""
    gpus = [] if settings.provider == "cpu" else list_gpus()
    return [
        *("start", f"--address={join.box}", f"--node-ip-address={join.listen}", f"--node-name={join.name}"),
        *(f"--num-cpus={len(os.sched_getaffinity(0))}", f"--num-gpus={len(gpus)}"),
        *("--resources", json.dumps({"engine": len(gpus) or 1}), "--labels", f"{LABEL}={versions()}"),
    ]


def own_address(box: str) -> str:
    """Return the address of this machine from which it reaches the box. Nothing is sent. Raises ConfigurationError."""
    host, _, port = box.rpartition(":")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{box} is not the address and port of a box: {error}.") from error


def serve_node(settings: Settings, join: Join, stopping: threading.Event) -> None:
    """Be a node until ``stopping`` is set. If the box goes away, try to join again after growing waits.

    Raises ConfigurationError if the box will never take this node as it is.
    """
    if ray_version() is None:
        raise ConfigurationError("A node needs Ray, which is not installed: run scripts/bootstrap cluster.")
    read_token(join.token)
    chosen = {name: value for name, value in os.environ.items() if name.startswith("APPLIANCE_")}
    variables = (
        environment(join.token)
        | chosen
        | {
            "APPLIANCE_DATA_DIR": str(settings.data_dir.absolute()),
            "APPLIANCE_PROVIDER": settings.provider,
        }
    )
    command, wait_seconds = join_command(settings, join), FIRST_WAIT_SECONDS
    log.info("node joins", box=join.box, name=join.name, versions=versions())
    notify("READY=1")  # as a service it runs, also while the box is away
    while not stopping.is_set():
        started = time.monotonic()
        output = run_ray(command, variables, settings.data_dir, stopping)
        if reason := _for_ever(output, join):
            raise ConfigurationError(reason)
        if time.monotonic() - started > STEADY_SECONDS:
            wait_seconds = FIRST_WAIT_SECONDS
        if not stopping.is_set():
            log.warning("node is not in the cluster", box=join.box, again_in_seconds=wait_seconds, output=output[-300:])
            stopping.wait(wait_seconds)
            wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)


def run_ray(arguments: list[str], variables: dict[str, str], data_dir: Path, stopping: threading.Event) -> str:
    """Run Ray in the foreground until it ends or ``stopping`` is set. Returns the end of what it printed.

    When this returns, no process of it is left.
    """
    with _folder(data_dir) as folder:
        command = [sys.executable, "-IS", tether.__file__, str(os.getpid())]  # Ray ends all of its own then
        command += [sys.executable, "-P", "-m", "ray.scripts.scripts", *arguments, f"--temp-dir={folder}"]
        command += [f"--object-store-memory={STORE_BYTES}", "--disable-usage-stats", "--block"]
        command += ["--include-log-monitor=false"]  # it would send what engines print to the box
        command += [f"--{name}={free_port('0.0.0.0')}" for name in AGENT_PORTS]
        inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        process = subprocess.Popen(
            command,
            env=inherited | {"PATH": path, "PYTHONUNBUFFERED": "1"} | variables,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        output = _Output(process)
        try:
            while process.poll() is None and not stopping.wait(STEP_SECONDS):
                notify("WATCHDOG=1")
        finally:
            _end(process)
        return output.text()


class _Output:
    """Passes on what a process prints, and keeps the end of it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._kept = (self._kept + line)[-KEPT_OUTPUT:]
            with suppress(OSError):
                os.write(1, line)

    def text(self) -> str:
        self._thread.join(2.0)
        return self._kept.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything in its session."""
    if process.poll() is None:
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    for pid in _session(process.pid):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _session(leader: int) -> list[int]:
    """Return the processes of the session that ``leader`` began, also if it has ended."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) == leader:
                members.append(int(stat.parent.name))
    return members


@contextmanager
def _folder(data_dir: Path) -> Iterator[Path]:
    """Yield a new folder for Ray, in the data folder if its path is short enough for sockets."""
    inside = data_dir.absolute() / "run"
    inside.mkdir(parents=True, exist_ok=True, mode=0o700)
    _remove_left(inside)
    parent = inside if len(str(inside)) <= LONGEST_FOLDER - len("/ray-12345678") else None
    with tempfile.TemporaryDirectory(prefix="ray-", dir=parent, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with held(folder):
            yield folder


def _remove_left(inside: Path) -> None:
    """Remove the folders whose makers were killed, so that nobody holds them."""
    for left in inside.glob("ray-*"):
        with suppress(OSError), held(left):
            shutil.rmtree(left)


def _for_ever(output: str, join: Join) -> str:
    """Return why another try cannot help, from what Ray printed; nothing if it may."""
    if "Version mismatch" in output:
        lines = " ".join(line.strip() for line in output.splitlines() if "Ray:" in line or "Python:" in line)
        return f"The node {join.name} has another version than the box {join.box}: {lines}"
    if "AuthenticationError" in output or "InvalidAuthToken" in output:
        return f"The box {join.box} refuses the token in {join.token}; `appliance cluster token` prints the right one."
    return ""


def main() -> None:
    """Be the head until SIGTERM. If Ray ends by itself, it is started again."""
    settings = load_settings()
    configure_logging(settings.log_level, "head")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    while not stopping.is_set():
        run_ray(head_command(settings), environment(token_file(settings.data_dir)), settings.data_dir, stopping)
        stopping.wait(FIRST_WAIT_SECONDS)


if __name__ == "__main__":
    main()
