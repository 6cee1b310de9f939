"""``python -m tests.support.cluster_run FOLDER MODELS``: a worker with the head of a cluster and its nodes.

For a network namespace of its own: Ray listens on every address of a machine unless that has the loopback alone. It
prints what happened as one line of JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.services import cluster
from tests.support.appliances import environment, wait_for
from tests.support.file_servers import FileServer, serving_files
from tests.support.toy_recordings import loud_wav
from tests.worker.test_worker import WorkerFixture

BOX = "127.0.0.1:6399"
PATIENCE_SECONDS = 600.0
OTHER_VERSION = (
    "import sys; from appliance.services import cluster; from appliance.supervisor import ray_node; "
    "ray_node.versions = lambda: '0.0.9_other'; from appliance.cli.node import node; node()"
)


def loopback_up() -> None:
    """Switch the namespace's only interface on."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running


class Contents(dict):
    """Objects that a server shows under their keys."""

    def __init__(self, server: FileServer) -> None:
        super().__init__()
        self.server = server

    def __setitem__(self, key: str, content: bytes) -> None:
        super().__setitem__(key, content)
        self.server.files[f"/{key}"] = content


class Run:
    """The box, its head and its nodes, and what tests ask of them."""

    def __init__(self, folder: Path, models: Path, server: FileServer) -> None:
        self.folder = folder
        self.fixture = WorkerFixture(
            folder / "box", models, executor="ray", cluster_listen=BOX, provider="cpu", engine_deadline_seconds=30
        )
        self.fixture.objects.contents = Contents(server)
        self.fixture.objects.node_url = lambda key, seconds: f"{server.url}/{key}"  # type: ignore[attr-defined]
        self.token = folder / "token"
        self.token.touch(0o600)
        self.token.write_text(cluster.make_token(folder / "box"))
        self.environment = environment(
            data_dir=folder / "box", cluster_listen=BOX, scoring_calls=1, decoders=2, executor="ray"
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def join(self, name: str, address: str, *command: str, token: Path | None = None) -> subprocess.Popen[str]:
        options = ["--token-file", str(token or self.token), "--name", name, "--listen", address]
        options += ["--data-dir", str(self.folder / name)]
        start = command or ("-m", "appliance.cli", "node")
        return self.start(*start, "join", BOX, *options)

    def nodes(self) -> dict[str, Any]:
        return {node.name: node for node in cluster.list_nodes(self.fixture.box.db)}

    def wait_for_states(self, **states: str) -> None:
        wait_for(lambda: {name: node.state for name, node in self.nodes().items()} == states, PATIENCE_SECONDS, 0.2)


def engines() -> list[int]:
    """Process ids of the engines, the only processes of Ray whose title names the actor."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes().startswith(b"ray::EngineActor"):
                pids.append(int(folder.name))
    return pids


@contextlib.contextmanager
def ended(processes: list[subprocess.Popen[str]]) -> Iterator[None]:
    """End these processes, the last first."""
    try:
        yield
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(60)


def main(folder: Path, models: Path) -> dict[str, Any]:
    with serving_files() as server:
        run = Run(folder, models, server)
        running = [run.start("-m", "appliance.supervisor.ray_node")]
        with ended(running):
            return tell(run, running)


def tell(run: Run, running: list[subprocess.Popen[str]]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    fixture = run.fixture
    job_id = fixture.make_job()
    with fixture.working(lanes=1) as worker:
        running += [run.join("one", "127.0.0.2"), run.join("two", "127.0.0.3")]
        running.append(run.join("old", "127.0.0.4", "-c", OTHER_VERSION))
        run.wait_for_states(one="ready", two="ready", old="refused")
        facts["refused"] = run.nodes()["old"].reason
        wrong = run.folder / "wrong"
        wrong.touch(0o600)
        wrong.write_text("0" * 64)
        stranger = run.join("stranger", "127.0.0.5", token=wrong)
        facts["output with a wrong token"], _ = stranger.communicate(timeout=PATIENCE_SECONDS)
        facts["exit status with a wrong token"] = stranger.returncode

        first = [fixture.add(job_id, loud_wav()) for _ in range(12)]
        bad = fixture.add(job_id, b"text")
        facts["first"] = [result(fixture, file_id) for file_id in first]
        facts["bad"] = fixture.finished_file(bad).error_code

        frozen = engines()
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        crew = worker._executor._crew  # type: ignore[attr-defined]
        second = [fixture.add(job_id, loud_wav()) for _ in range(12)]
        wait_for(lambda: all(member.busy for member in crew.members))
        os.kill(frozen[0], signal.SIGKILL)  # the other one hangs
        facts["second"] = [result(fixture, file_id) for file_id in second]
        wait_for(lambda: not set(engines()) & set(frozen), PATIENCE_SECONDS)
        wait_for(lambda: sum(node.lost_engines for node in run.nodes().values()) >= 2, PATIENCE_SECONDS)
        facts["lost"] = {name: node.lost_engines for name, node in run.nodes().items() if node.lost_engines}

        cluster.drain(fixture.box.db, "one")
        run.wait_for_states(one="drained", two="ready", old="refused")
        before = run.nodes()["one"].files
        third = [fixture.add(job_id, loud_wav()) for _ in range(4)]
        facts["third"] = [result(fixture, file_id) for file_id in third]
        facts["drained took"] = run.nodes()["one"].files - before
        facts["work"] = fixture.work()
    facts["engines left"] = wait_for(lambda: [engines() or "none"] if not engines() else None)
    return facts


def result(fixture: WorkerFixture, file_id: str) -> list[Any]:
    """Wait for a file. Returns its status, duration and detections."""
    wait_for(lambda: fixture.file(file_id).status in ("completed", "failed"), PATIENCE_SECONDS)
    file = fixture.file(file_id)
    return [file.status, file.duration_ms, fixture.detections(file_id)]


if __name__ == "__main__":
    loopback_up()
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
