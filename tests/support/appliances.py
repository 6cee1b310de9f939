"""The whole appliance as a test runs it: ``up`` in a folder of its own, on a free port, with toy models."""

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

import requests

from appliance.supervisor import tether
from tests.support import toy_models

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT = ("APPLIANCE_MINIO", "APPLIANCE_CACHE")  # where programs are; what else the caller's shell sets is not ours
PROGRAMS = {"worker": "appliance.worker", "api": "gunicorn", "frontdoor": "caddy", "storage": "minio", "weed": "weed"}

T = TypeVar("T")


def wait_for(what: Callable[[], T], seconds: float = 60.0, every_seconds: float = 0.05) -> T:
    """The first truthy answer of ``what``."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(every_seconds)
    return found


def environment(**settings: object) -> dict[str, str]:
    """The environment of a command of the appliance: ours without its settings, and these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_") or name in KEPT}
    given = {f"APPLIANCE_{name.upper()}": str(value) for name, value in settings.items()}
    return kept | {"APPLIANCE_CONFIG": os.devnull, "APPLIANCE_PROVIDER": "cpu"} | given


@dataclass
class Api:
    """Calls one appliance with one key, as any HTTP client would."""

    url: str
    key: str | None
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, status: int, **options: Any) -> Any:
        """The JSON of an answer that must have this status."""
        response = self.raw(method, path, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()

    def raw(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"X-API-Key": self.key} if self.key else {}
        options["headers"] = headers | options.get("headers", {})
        return self.session.request(method, self.url + path, timeout=60, **options)

    def get(self, path: str, status: int = 200, **options: Any) -> Any:
        return self.call("GET", path, status, **options)

    def post(self, path: str, body: Any, status: int = 200, **options: Any) -> Any:
        return self.call("POST", path, status, json=body, **options)

    def make_job(self, model: str = "loud-frames", **config: Any) -> str:
        """The id of a new job."""
        body = {"model_id": model} | ({"config": config} if config else {})
        return self.post("/api/v1/inference-jobs", body, 201)["id"]

    def job(self, job_id: str) -> Any:
        return self.get(f"/api/v1/inference-jobs/{job_id}")

    def cancel(self, job_id: str, status: int = 200) -> Any:
        return self.call("DELETE", f"/api/v1/inference-jobs/{job_id}", status)

    def file(self, job_id: str, file_id: str) -> Any:
        return self.get(f"/api/v1/inference-jobs/{job_id}/files/{file_id}")

    def ask(
        self, job_id: str, size: int, name: str = "take.wav", content_type: str = "audio/wav", status: int = 200
    ) -> Any:
        """An upload form, or the problem."""
        body = {"filename": name, "content_type": content_type, "file_size_bytes": size}
        return self.post(f"/api/v1/inference-jobs/{job_id}/files/upload-url", body, status)

    def confirm(self, job_id: str, file_id: str, status: int = 200) -> Any:
        return self.post(f"/api/v1/inference-jobs/{job_id}/files/confirm", {"file_id": file_id}, status)

    def upload(self, job_id: str, content: bytes, **asked: Any) -> str:
        """Ask, post, and give the id of a file that is not confirmed."""
        form = self.ask(job_id, len(content), **asked)
        post_form(form, content)
        return form["file_id"]

    def send(self, job_id: str, content: bytes, **asked: Any) -> str:
        """Ask, post, confirm; the id of the file."""
        file_id = self.upload(job_id, content, **asked)
        self.confirm(job_id, file_id)
        return file_id

    def finished_file(self, job_id: str, file_id: str, seconds: float = 60.0) -> Any:
        """The file, once it reached an end."""

        def ended() -> Any:
            file = self.file(job_id, file_id)
            return file if file["status"] in ("completed", "failed", "cancelled") else None

        return wait_for(ended, seconds)

    def finished(self, job_id: str, seconds: float = 60.0) -> Any:
        """The job, once all of its files reached an end."""

        def ended() -> Any:
            job = self.job(job_id)
            return job if job["total_files"] == job["processed_files"] > 0 else None

        return wait_for(ended, seconds)


def post_form(form: Any, content: bytes, status: int = 204) -> None:
    """Post a file to storage as the form says."""
    response = requests.post(form["upload_url"], data=form["upload_fields"], files={"file": ("take", content)})
    assert response.status_code == status, response.text


@dataclass
class Appliance:
    """A running appliance."""

    url: str
    key: str
    data_dir: Path
    settings: dict[str, str]
    process: subprocess.Popen
    output: Path

    @property
    def api(self) -> Api:
        """Its API with the key of the first start."""
        return Api(self.url, self.key)

    def command(self, *arguments: str) -> str:
        """Run a command of the appliance on this data folder; what it printed."""
        command = [sys.executable, "-m", "appliance.cli", *arguments]
        return subprocess.run(
            command, env=self.settings, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    def api_of(self, name: str, tenant: str) -> Api:
        """Its API with a new key of a tenant."""
        return Api(self.url, self.command("keys", "create", name, "--tenant", tenant, "--data-dir", str(self.data_dir)))

    def pid(self, name: str) -> int:
        """Process id of a child; 0 where it does not run now."""
        return next((pid for pid in children(self.process.pid) if PROGRAMS[name] in command_of(pid)), 0)

    def kill(self, name: str) -> int:
        """Kill a child as the kernel would; its process id."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False


@contextlib.contextmanager
def running_appliance(data_dir: Path, models: Path, **settings: object) -> Iterator[Appliance]:
    """``up`` until the block ends, and then stopped as an operator stops it; it dies with the test run."""
    data_dir.mkdir(parents=True, exist_ok=True)
    chosen = {"model_store": models, "default_model": "loud-frames", "poll_seconds": 0.05, "sweep_seconds": 0.5}
    env = environment(**(chosen | settings))
    output = data_dir / "up.log"
    up = [sys.executable, "-m", "appliance.cli", "up", "--port", "0", "--data-dir", str(data_dir)]
    tethered = [sys.executable, "-IS", tether.__file__, str(os.getpid()), *up]
    with output.open("wb") as log:
        process = subprocess.Popen(tethered, env=env, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)

    def url() -> str | None:
        assert process.poll() is None, output.read_text()
        found = re.search(r"^Ready at (\S+)$", output.read_text(), re.MULTILINE)
        return found and found[1]

    try:
        found = wait_for(url, 120)
        key = re.search(r"shown this once: (\S+)$", output.read_text(), re.MULTILINE)
        yield Appliance(found, key[1] if key else "", data_dir, env, process, output)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def children(pid: int) -> list[int]:
    """The children of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """The children of a process, and theirs."""
    return [one for child in children(pid) for one in (child, *descendants(child))]


def peak_bytes(pid: int) -> int:
    """The most memory that a process and its children ever had resident, together."""
    statuses = [Path(f"/proc/{each}/status").read_text() for each in (pid, *descendants(pid))]
    return sum(1024 * int(line.split()[1]) for text in statuses for line in text.splitlines() if "VmHWM" in line)


def command_of(pid: int) -> str:
    """The program or the Python module that a process runs; empty while it is tethered, and once it is gone."""
    try:
        program, *arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return ""
    if tether.__file__ in arguments:
        return ""
    return arguments[arguments.index("-m") + 1] if "-m" in arguments else Path(program).name


def make_models(store: Path) -> Path:
    """A store with the toy models, loud-frames in two versions, and the models that embed datasets and transcribe."""
    shutil.copytree(ROOT / "model_store" / "spectrum", store / "spectrum")
    (store / "moonshine-tiny-en").symlink_to(ROOT / "model_store" / "moonshine-tiny-en")
    toy_models.window_model(store)
    toy_models.frame_model(store)
    toy_models.frame_model(store, version="0.9.0")
    toy_models.softmax_model(store)
    toy_models.softmax_model(store, name="loud-single", batch=1)
    return store
