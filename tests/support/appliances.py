"""Runs the whole appliance for a test: ``up`` in a folder of its own, on a free port, with toy models."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

from appliance.supervisor import tether
from tests.support import toy_models

ROOT = Path(__file__).resolve().parent.parent.parent
INHERITED = ("APPLIANCE_MINIO", "APPLIANCE_CACHE")  # where programs are; no other setting of the caller's shell counts
WITHOUT = ROOT / "tests" / "support" / "without"  # packages of the tests that no process of the appliance should load
WITHOUT_CALIBRATION = {"APPLIANCE_SCORING_CALLS": "2"}  # a start of the worker would take about 3 s longer
PROGRAMS = {"worker": "appliance.worker", "api": "gunicorn", "frontdoor": "caddy", "storage": "minio", "weed": "weed"}
PROGRAMS |= {"head": "appliance.supervisor.ray_node"}
DECODER = "appliance.engine.decode.child"

bundled_storage = pytest.mark.skipif("TEST_STORAGE" in os.environ, reason="it concerns the bundled storage server")
on_seaweedfs = os.environ.get("TEST_STORAGE") == "seaweedfs"  # whose forms and URLs have no token

PATIENCE_SECONDS = 240.0  # for what must happen: the machine may be slow and busy

T = TypeVar("T")


def wait_for(question: Callable[[], T | None], seconds: float = PATIENCE_SECONDS, every_seconds: float = 0.05) -> T:
    """Ask until the answer is truthy. Returns that answer."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        time.sleep(every_seconds)
    return answer


def environment(**settings: object) -> dict[str, str]:
    """The environment of a command of the appliance: that of the tests, but with these settings alone."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_") or name in INHERITED
    }
    inherited["PYTHONPATH"] = os.pathsep.join(filter(None, [str(WITHOUT), os.environ.get("PYTHONPATH")]))
    chosen = {f"APPLIANCE_{name.upper()}": str(value) for name, value in settings.items()}
    return inherited | {"APPLIANCE_CONFIG": os.devnull, "APPLIANCE_PROVIDER": "cpu"} | WITHOUT_CALIBRATION | chosen


@dataclass
class Api:
    """Calls one appliance with one key, as any HTTP client would."""

    url: str
    key: str | None
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, status: int, **options: Any) -> Any:
        """Send a request. Returns the JSON of the response, which must have this status."""
        response = self.response(method, path, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()

    def response(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request. Returns the response, whatever its status."""
        headers = {"X-API-Key": self.key} if self.key else {}
        options["headers"] = headers | options.get("headers", {})
        return self.session.request(method, self.url + path, timeout=PATIENCE_SECONDS, **options)

    def get(self, path: str, status: int = 200, **options: Any) -> Any:
        return self.call("GET", path, status, **options)

    def post(self, path: str, body: Any, status: int = 200, **options: Any) -> Any:
        return self.call("POST", path, status, json=body, **options)

    def make_job(self, model: str = "loud-frames", **config: Any) -> str:
        """Create a job. Returns its id."""
        body = {"model_id": model} | ({"config": config} if config else {})
        return self.post("/api/v1/inference-jobs", body, 201)["id"]

    def job(self, job_id: str) -> Any:
        return self.get(f"/api/v1/inference-jobs/{job_id}")

    def cancel(self, job_id: str, status: int = 200) -> Any:
        return self.call("DELETE", f"/api/v1/inference-jobs/{job_id}", status)

    def file(self, job_id: str, file_id: str) -> Any:
        return self.get(f"/api/v1/inference-jobs/{job_id}/files/{file_id}")

    def request_upload(
        self, job_id: str, size: int, name: str = "take.wav", content_type: str = "audio/wav", status: int = 200
    ) -> Any:
        """Request an upload. Returns the form, or the problem."""
        body = {"filename": name, "content_type": content_type, "file_size_bytes": size}
        return self.post(f"/api/v1/inference-jobs/{job_id}/files/upload-url", body, status)

    def confirm(self, job_id: str, file_id: str, status: int = 200) -> Any:
        return self.post(f"/api/v1/inference-jobs/{job_id}/files/confirm", {"file_id": file_id}, status)

    def upload(self, job_id: str, content: bytes, **declared: Any) -> str:
        """Request an upload and post the file, but do not confirm it. Returns the id of the file."""
        form = self.request_upload(job_id, len(content), **declared)
        post_form(form, content)
        return form["file_id"]

    def send(self, job_id: str, content: bytes, **declared: Any) -> str:
        """Upload and confirm a file. Returns its id."""
        file_id = self.upload(job_id, content, **declared)
        self.confirm(job_id, file_id)
        return file_id

    def finished_file(self, job_id: str, file_id: str) -> Any:
        """Wait until the file has ended. Returns it."""

        def ended() -> Any:
            file = self.file(job_id, file_id)
            return file if file["status"] in ("completed", "failed", "cancelled") else None

        return wait_for(ended)

    def finished_job(self, job_id: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until all files of the job have ended. Returns the job."""

        def ended() -> Any:
            job = self.job(job_id)
            return job if job["total_files"] == job["processed_files"] > 0 else None

        return wait_for(ended, seconds)


def post_form(form: Any, content: bytes, status: int = 204) -> None:
    """Post a file to storage with an upload form."""
    response = requests.post(form["upload_url"], data=form["upload_fields"], files={"file": ("take", content)})
    assert response.status_code == status, response.text


@dataclass
class Appliance:
    """A running appliance."""

    url: str
    key: str
    data_dir: Path
    settings: dict[str, str]
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def api(self) -> Api:
        """Its API with the key of the first start."""
        return Api(self.url, self.key)

    def command(self, *arguments: str) -> str:
        """Run a command of the appliance. Returns what it printed."""
        command = [sys.executable, "-m", "appliance.cli", *arguments]
        return subprocess.run(
            command, env=self.settings, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    def api_of(self, name: str, tenant: str) -> Api:
        """Its API with a new key of this tenant."""
        return Api(self.url, self.command("keys", "create", name, "--tenant", tenant, "--data-dir", str(self.data_dir)))

    def pid(self, name: str) -> int:
        """Process id of a child; 0 if it is not running."""
        return next((pid for pid in children(self.process.pid) if PROGRAMS[name] in command_of(pid)), 0)

    def kill(self, name: str) -> int:
        """Kill a child with SIGKILL. Returns its process id."""
        pid = self.pid(name)
        assert pid, f"{name} does not run"  # 0 would be the tests themselves
        os.kill(pid, signal.SIGKILL)
        return pid

    def ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False


@contextlib.contextmanager
def running_appliance(data_dir: Path, models: Path, **settings: object) -> Iterator[Appliance]:
    """Run ``up`` until the block ends, then stop it as an operator does. It also dies with the test run.

    If TEST_STORAGE names a storage server, it uses one of its own in place of the bundled MinIO.
    """
    with contextlib.ExitStack() as stack:
        if (name := os.environ.get("TEST_STORAGE")) and settings.get("storage_server") == "minio":
            from tests.support.external_storage import external_storage  # pytest loads its fixtures first

            folder = data_dir.with_name(f"{data_dir.name}-storage")
            settings |= stack.enter_context(external_storage(name, folder))
        yield stack.enter_context(_running_appliance(data_dir, models, settings))


@contextlib.contextmanager
def _running_appliance(data_dir: Path, models: Path, settings: dict[str, object]) -> Iterator[Appliance]:
    data_dir.mkdir(parents=True, exist_ok=True)
    chosen: dict[str, object] = {"model_store": models, "default_model": "loud-frames", "poll_seconds": 0.05}
    chosen |= {"sweep_seconds": 0.5, "warn_free_bytes": 0}  # the disk of the tests may be nearly full
    port = str(settings.pop("port", 0))
    env = environment(**(chosen | settings))
    output = data_dir / "up.log"
    up = [sys.executable, "-m", "appliance.cli", "up", "--port", port, "--data-dir", str(data_dir)]
    tethered = [sys.executable, "-IS", tether.__file__, str(os.getpid()), *up]
    with output.open("wb") as log:
        process = subprocess.Popen(tethered, env=env, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)

    def url() -> str | None:
        assert process.poll() is None, output.read_text()
        match = re.search(r"^Ready at (\S+)$", output.read_text(), re.MULTILINE)
        return match and match[1]

    try:
        origin = wait_for(url, 2 * PATIENCE_SECONDS)
        key = re.search(r"shown this once: (\S+)$", output.read_text(), re.MULTILINE)
        yield Appliance(origin, key[1] if key else "", data_dir, env, process, output)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    pids: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            pids += map(int, task.read_text().split())
    return pids


def descendants(pid: int) -> list[int]:
    """Process ids of the children of a process, and of their children."""
    return [member for child in children(pid) for member in (child, *descendants(child))]


def kill(*pids: int) -> None:
    """Kill processes with SIGKILL. Some may have ended, as those do that are tied to one that was killed before."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def peak_bytes(pid: int) -> int:
    """Peak resident memory of a process and its descendants, added up, but for those that decode."""
    total = 0
    for member in (pid, *descendants(pid)):
        if command_of(member) == DECODER:
            continue
        with contextlib.suppress(OSError):  # it has ended
            status = Path(f"/proc/{member}/status").read_text()
            total += sum(1024 * int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
    return total


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its descendants have used: what they did, however busy the machine is."""
    seconds = 0.0
    for member in (pid, *descendants(pid)):
        with contextlib.suppress(OSError):  # it has ended
            user, system = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()[11:13]
            seconds += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return seconds


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder in which processes make and delete files and folders meanwhile."""
    return [Path(place, name) for place, _, names in os.walk(folder) for name in names]


def command_of(pid: int) -> str:
    """The program or Python module that a process runs; empty while only its tether runs, and after it ended."""
    try:
        program, *arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return ""
    if tether.__file__ in arguments:
        return ""
    return arguments[arguments.index("-m") + 1] if "-m" in arguments else Path(program).name


def make_models(store: Path) -> Path:
    """Fill a model store: the toy models, loud-frames in two versions, and the models for embedding and speech."""
    shutil.copytree(ROOT / "model_store" / "spectrum", store / "spectrum")
    (store / "moonshine-tiny-en").symlink_to(ROOT / "model_store" / "moonshine-tiny-en")
    toy_models.window_model(store)
    (toy_models.frame_model(store) / "MODEL_CARD.md").write_text("# It hears loudness")
    toy_models.frame_model(store, version="0.9.0")
    toy_models.frame_model(store, name="loud-gaps", label="dropout")
    toy_models.softmax_model(store)
    toy_models.softmax_model(store, name="loud-single", batch=1)
    return store
