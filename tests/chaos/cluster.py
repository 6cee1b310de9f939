"""A box with nodes on one machine: each node is a process of its own, with an address of its own on the loopback.

For a network namespace (``ALONE``): Ray listens on every address of a machine unless that has the loopback alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from appliance.services import cluster
from appliance.state.database import Database
from tests.chaos.run import Box
from tests.support.appliances import children, command_of, descendants, environment, wait_for
from tests.support.external_storage import CA, external_storage

# A command in namespaces of its own. When it ends, the kernel ends all that it has started.
ALONE = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
HEAD = "127.0.0.1:6399"
PATIENCE_SECONDS = 600.0
DECODER = "appliance.engine.decode.child"


def loopback_up() -> None:
    """Switch the namespace's only interface on."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running


def send_signal(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those of these processes that still run."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Cluster:
    """The appliance with storage elsewhere, over https, and its nodes."""

    def __init__(self, folder: Path, models: Path, *, with_keys: bool = False, **settings: object) -> None:
        """``with_keys``: nodes have the keys of storage, as they need for ``bulk``."""
        self._folder = folder
        self.models = models
        self._open = contextlib.ExitStack()
        self.storage = folder / "storage"
        self.storage_settings = self._open.enter_context(external_storage("minio", self.storage))
        self.token = folder / "token"
        self.token.touch(0o600)
        self.token.write_text(cluster.make_token(folder / "box"))
        # The key that only reads may not list.
        self.keys = {name: value for name, value in self.storage_settings.items() if "read" not in name}
        own = self.keys if with_keys else {"storage_ca_file": CA}
        self.environment = environment(**own, decoders=2, scoring_calls=1)
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._addresses: dict[str, str] = {}
        self._open.callback(self._end_nodes)
        self.box = Box(
            folder / "box",
            models,
            None,
            **{"executor": "ray", "cluster_listen": HEAD, **self.storage_settings, **settings},
        )
        self._open.callback(self.box.close)
        self.database = Database(self.box.appliance.data_dir / "appliance.db")

    def join(self, name: str, *command: str, token: Path | None = None, **settings: str) -> subprocess.Popen[bytes]:
        """Start a node, or start it again. ``settings`` are variables of its environment."""
        address = self._addresses.setdefault(name, f"127.0.0.{len(self._addresses) + 2}")
        options = ["--token-file", str(token or self.token), "--name", name, "--listen", address]
        options += ["--data-dir", str(self._folder / name)]
        start = [sys.executable, *(command or ("-m", "appliance.cli", "node")), "join", HEAD, *options]
        with self.output(name).open("ab") as output:
            self.nodes[name] = subprocess.Popen(start, env=self.environment | settings, stdout=output, stderr=output)
        return self.nodes[name]

    def output(self, name: str) -> Path:
        """The file with what a node prints."""
        return self._folder / f"{name}.output"

    def listed(self) -> dict[str, Any]:
        """The nodes that the box lists, by name. A node that joined again has the place of the one that left."""
        return {node.name: node for node in cluster.list_nodes(self.database)}

    def join_all(self, *names: str) -> None:
        """Start nodes one after the other, each when Ray has started the one before."""
        for name in names:
            self.join(name)
            self.wait_for(partial(self._lists, name))

    def _lists(self, name: str) -> bool:
        return name in self.listed()

    def wait_for_states(self, **states: str) -> None:
        """Wait until exactly these nodes are listed, in these states."""
        self.wait_for(lambda: {name: node.state for name, node in self.listed().items()} == states)

    def wait_for(self, question: Callable[[], Any]) -> Any:
        """Ask until the answer is truthy, on a machine that may be slow. Returns that answer."""
        return wait_for(question, PATIENCE_SECONDS, 0.5)

    def drain(self, name: str) -> None:
        """Let the box give a node no more work."""
        self.box.appliance.command("cluster", "drain", name, "--data-dir", str(self.box.appliance.data_dir))

    def kill_node(self, name: str) -> None:
        """End a node and all that belongs to it at once, as if its machine lost its power."""
        send_signal(self.of_node(name), signal.SIGKILL)
        self.nodes[name].wait()

    def of_node(self, name: str) -> list[int]:
        """Process ids of a node, of Ray on it, of its engine and of the decoders."""
        process = self.nodes[name]
        return [process.pid, *descendants(process.pid)] if process.poll() is None else []

    def engines(self, name: str | None = None) -> list[int]:
        """Process ids of the engines of a node, or of all: no other title of a process names the actor."""
        names = self.nodes if name is None else [name]
        return [pid for name in names for pid in self.of_node(name) if _title(pid).startswith(b"ray::EngineActor")]

    def decoders(self, name: str | None = None) -> list[int]:
        """Process ids of the decoders of a node, or of all."""
        return [pid for engine in self.engines(name) for pid in children(engine) if command_of(pid) == DECODER]

    def pids(self, part: str) -> list[int]:
        """Process ids of a part: engine, decoder, raylet (of a node), worker, head or gcs (Ray's, in the head)."""
        if part == "engine":
            return self.engines()
        if part == "decoder":
            return self.decoders()
        if part == "raylet":
            return [pid for name in self.nodes for pid in self.of_node(name) if command_of(pid) == "raylet"]
        if part == "gcs":
            return [pid for pid in descendants(self.box.appliance.pid("head")) if command_of(pid) == "gcs_server"]
        return [pid for pid in [self.box.appliance.pid(part)] if pid]

    def close(self) -> None:
        """Stop box, nodes and storage."""
        self._open.close()

    def _end_nodes(self) -> None:
        for process in self.nodes.values():
            process.terminate()
        for process in self.nodes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)


def _title(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
