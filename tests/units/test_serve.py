"""The parts of the appliance started one by one, as the units of systemd do. The test takes systemd's place."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.storage.local_server import free_ports
from appliance.supervisor import tether
from tests.support.appliances import PATIENCE_SECONDS, ROOT, Api, children, environment, wait_for
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

PARTS = ("storage", "worker", "api", "frontdoor")


@dataclass
class Service:
    """A part that runs, and the socket on which it tells systemd about itself."""

    process: subprocess.Popen[bytes]
    notices: socket.socket

    def told(self, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait for the next notice."""
        self.notices.settimeout(seconds)
        return self.notices.recv(1000).decode()

    def forget(self) -> None:
        """Drop the notices that have come."""
        with contextlib.suppress(BlockingIOError):
            while self.told(0):
                pass

    def wait_for(self, notice: str) -> None:
        while self.told() != notice:
            assert self.process.poll() is None


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, models: Path) -> dict[str, str]:
    """The environment of the units, with the secrets in a folder of their own, as systemd shows them."""
    folder = tmp_path_factory.mktemp("units")
    chosen = {"data_dir": folder / "data", "model_store": models, "default_model": "loud-frames", "hang_seconds": 8}
    return environment(**chosen, port=free_ports(1)[0], storage_server="minio", poll_seconds=0.05) | {
        "CREDENTIALS_DIRECTORY": str(folder / "secrets")
    }


@pytest.fixture(scope="module")
def key(settings: dict[str, str]) -> str:
    """The first key, which ``prepare`` prints, once."""
    first, second = (command(settings, "prepare") for _ in range(2))
    assert "ak_" not in second
    return re.fullmatch(r".*shown this once: (\S+)\n", first)[1]  # type: ignore[index]


def command(settings: dict[str, str], *arguments: str) -> str:
    line = [sys.executable, "-m", "appliance.cli", *arguments]
    return subprocess.run(line, env=settings, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def services(settings: dict[str, str], key: str) -> Iterator[dict[str, Service]]:
    """All parts, each of which said that it is ready."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(serving(settings, name)) for name in PARTS}


@contextlib.contextmanager
def serving(settings: dict[str, str], name: str) -> Iterator[Service]:
    """Run a part until it is ready, and until the block ends."""
    line = [sys.executable, "-IS", tether.__file__, str(os.getpid()), sys.executable, "-m", "appliance.cli"]
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices,
        (Path(settings["APPLIANCE_DATA_DIR"]) / f"{name}.output").open("wb") as output,
    ):
        notices.bind(f"{folder}/notify")
        env = settings | {"NOTIFY_SOCKET": f"{folder}/notify"}
        process = subprocess.Popen([*line, "serve", name], env=env, cwd=ROOT, stdout=output, stderr=output)
        service = Service(process, notices)
        try:
            service.wait_for("READY=1")
            yield service
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def test_the_parts_serve_together(settings: dict[str, str], key: str, services: dict[str, Service]) -> None:
    api = Api(f"http://127.0.0.1:{settings['APPLIANCE_PORT']}", key)
    job_id = api.make_job()
    api.send(job_id, loud_wav())
    assert api.finished_job(job_id)["files"][0]["detections"] == LOUD_DETECTIONS
    assert not (Path(settings["APPLIANCE_DATA_DIR"]) / "secrets").exists()


def test_the_watchdog_is_fed_while_the_process_answers_and_only_then(services: dict[str, Service]) -> None:
    for service in services.values():
        service.wait_for("WATCHDOG=1")
    api = services["api"]
    (arbiter,) = children(api.process.pid)
    os.kill(arbiter, signal.SIGSTOP)
    (worker,) = children(arbiter)
    os.kill(worker, signal.SIGSTOP)
    api.forget()
    notices = []
    with contextlib.suppress(TimeoutError, ConnectionError):
        while (notice := api.told(60)) != "STOPPING=1":
            notices.append(notice)
    assert notices.count("WATCHDOG=1") <= 1  # a probe may have been answered just before
    assert api.process.wait(PATIENCE_SECONDS) == 1  # systemd starts it again


def test_a_part_that_is_stopped_ends_well_and_one_whose_process_died_does_not(
    settings: dict[str, str], services: dict[str, Service]
) -> None:
    with serving(settings, "api") as first:
        first.process.terminate()
        assert first.process.wait(PATIENCE_SECONDS) == 0
    with serving(settings, "api") as second:
        os.kill(children(second.process.pid)[0], signal.SIGKILL)
        assert second.process.wait(PATIENCE_SECONDS) == 1
    assert services["worker"].process.poll() is None


def test_up_is_refused_while_a_part_serves_the_folder(settings: dict[str, str], services: dict[str, Service]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        command(settings, "up", "--port", "0")
    assert "Another appliance is serving" in error.value.stderr
    assert wait_for(lambda: services["worker"].process.poll() is None)
