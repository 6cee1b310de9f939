"""Whichever process is killed, each file is completed once. Leases are short here."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlite_utils.utils import sqlite3

from appliance.state.database import Database
from tests.support.appliances import (
    DECODER,
    PATIENCE_SECONDS,
    ROOT,
    Api,
    Appliance,
    bundled_storage,
    children,
    command_of,
    descendants,
    files_below,
    post_form,
    running_appliance,
    wait_for,
)
from tests.support.toy_recordings import LOUD_DETECTIONS, long_flac, loud_wav

LONG_MINUTES = 80


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance whose leases last five seconds."""
    folder = tmp_path_factory.mktemp("crashing")
    with running_appliance(folder, models, storage_server="minio", lease_seconds=5, decoders=2) as running:
        yield running


@pytest.fixture(autouse=True)
def _wait_until_ready(appliance: Appliance) -> None:
    wait_for(appliance.ready)


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A recording that takes seconds to analyze. Its only detection is at the end."""
    return long_flac(tmp_path_factory.mktemp("long") / "long.flac", LONG_MINUTES).read_bytes()


def start_long_file(api: Api, job_id: str, long_recording: bytes) -> str:
    """Send the long recording and wait until it is being processed. Returns its id."""
    file_id = api.send(job_id, long_recording, name="long.flac", content_type="audio/flac")
    wait_for(lambda: api.file(job_id, file_id)["status"] == "processing", every_seconds=0.005)
    return file_id


def assert_detected(file: dict[str, Any]) -> None:
    assert file["status"] == "completed", file
    assert file["duration_ms"] == LONG_MINUTES * 60_000
    assert file["detection_count"] == 1
    start_ms = (LONG_MINUTES - 1) * 60_000
    assert file["detections"][0]["start_ms"] == pytest.approx(start_ms, abs=12)
    assert file["detections"][0]["end_ms"] == pytest.approx(start_ms + 1000, abs=12)


def completions(appliance: Appliance, file_id: str, at_least: int = 1) -> int:
    """How often a worker logged that it completed a file. The log is a little late, so this waits for some lines."""

    def count() -> int:
        log = (appliance.data_dir / "logs" / "worker.log").read_text()
        return sum("work done" in line and file_id in line for line in log.splitlines())

    wait_for(lambda: count() >= at_least)
    return count()


def restarted(appliance: Appliance, name: str, killed: int) -> bool:
    return appliance.pid(name) not in (0, killed)


def pause_worker(appliance: Appliance) -> int:
    """Stop the worker, but not during a write, which would keep the database locked. Returns its process id."""
    worker = appliance.pid("worker")

    def paused() -> bool:
        os.kill(worker, signal.SIGSTOP)
        with contextlib.closing(sqlite3.connect(appliance.data_dir / "appliance.db", 0.5, isolation_level=None)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
                db.execute("ROLLBACK")
                return True
            except sqlite3.OperationalError:
                os.kill(worker, signal.SIGCONT)
                return False

    wait_for(paused)
    return worker


def test_a_worker_killed_in_the_middle_of_a_file_completes_it_once(
    appliance: Appliance, api: Api, long_recording: bytes
) -> None:
    job_id = api.make_job()
    file_id = start_long_file(api, job_id, long_recording)
    neighbour = api.send(job_id, loud_wav())
    killed = appliance.kill("worker")
    wait_for(lambda: restarted(appliance, "worker", killed))
    assert_detected(api.finished_file(job_id, file_id))
    assert api.finished_file(job_id, neighbour)["detections"] == LOUD_DETECTIONS
    assert api.job(job_id)["status"] == "completed"
    assert (completions(appliance, file_id), completions(appliance, neighbour)) == (1, 1)


def test_a_worker_that_hangs_past_its_lease_starts_the_file_again(
    appliance: Appliance, api: Api, long_recording: bytes
) -> None:
    """It is stopped in the middle of a file and its lease expires. When it goes on, it must start the file again."""
    job_id = api.make_job()
    file_id = start_long_file(api, job_id, long_recording)
    worker = pause_worker(appliance)
    database = Database(appliance.data_dir / "appliance.db")

    def expired() -> bool:
        row = database.one("SELECT lease_until FROM work WHERE subject_id = ?", [file_id])
        assert row is not None
        return bool(row["lease_until"] < time.monotonic())

    try:
        wait_for(expired)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert_detected(api.finished_file(job_id, file_id))
    assert completions(appliance, file_id) == 1
    assert appliance.pid("worker") == worker


def test_a_file_in_progress_is_cancelled_and_leaves_its_worker_free(
    appliance: Appliance, api: Api, long_recording: bytes
) -> None:
    job_id = api.make_job()
    file_id = start_long_file(api, job_id, long_recording)
    assert api.job(job_id)["status"] == "processing"
    job = api.cancel(job_id)
    assert (job["status"], job["files"][0]["status"], job["processed_files"]) == ("cancelled", "cancelled", 1)
    others = api.make_job()
    for _ in range(2):  # one for each lane
        api.send(others, loud_wav())
    assert api.finished_job(others)["status"] == "completed"
    assert api.job(job_id) == job
    assert completions(appliance, file_id, 0) == 0


def test_a_queued_file_is_cancelled(appliance: Appliance, api: Api) -> None:
    worker = pause_worker(appliance)
    try:
        job_id = api.make_job()
        file_id = api.send(job_id, loud_wav())
        assert api.file(job_id, file_id)["status"] == "queued"
        assert api.job(job_id)["status"] == "processing"
        job = api.cancel(job_id)
        assert (job["status"], job["files"][0]["status"]) == ("cancelled", "cancelled")
    finally:
        os.kill(worker, signal.SIGCONT)
    later = api.make_job()
    api.send(later, loud_wav())
    api.finished_job(later)
    assert api.job(job_id) == job
    assert completions(appliance, file_id, 0) == 0


def test_only_the_confirmed_bytes_are_scored(appliance: Appliance, api: Api) -> None:
    """A form can be used until it expires, but only the bytes that were confirmed are scored."""
    content = loud_wav()
    job_id = api.make_job()
    worker = pause_worker(appliance)
    try:
        form = api.request_upload(job_id, len(content))
        post_form(form, content)
        api.confirm(job_id, form["file_id"])
        post_form(form, loud_wav(200, []))
    finally:
        os.kill(worker, signal.SIGCONT)
    file = api.finished_file(job_id, form["file_id"])
    assert (file["status"], file["detections"]) == ("completed", LOUD_DETECTIONS)


@pytest.mark.parametrize("name", ["api", "frontdoor", pytest.param("storage", marks=bundled_storage)])
def test_a_killed_process_is_restarted_and_works_again(appliance: Appliance, api: Api, name: str) -> None:
    job_id = api.make_job()
    content = loud_wav()
    form = api.request_upload(job_id, len(content))
    killed = appliance.kill(name)
    wait_for(lambda: restarted(appliance, name, killed))
    wait_for(appliance.ready)
    post_form(form, content)  # a form from before the kill is still valid
    api.confirm(job_id, form["file_id"])
    assert api.finished_job(job_id)["files"][0]["detections"] == LOUD_DETECTIONS
    assert requests.get(appliance.url + "/healthz").status_code == 200


@bundled_storage
def test_files_wait_while_storage_is_down(appliance: Appliance, api: Api) -> None:
    """If storage does not answer, the file is not at fault: the worker retries until storage is back."""
    job_id = api.make_job()
    worker = pause_worker(appliance)
    file_id = api.send(job_id, loud_wav())
    killed = appliance.kill("storage")
    os.kill(worker, signal.SIGCONT)
    wait_for(lambda: restarted(appliance, "storage", killed))
    assert api.finished_file(job_id, file_id)["detections"] == LOUD_DETECTIONS


def test_a_decoder_that_dies_three_times_fails_its_file(appliance: Appliance, api: Api) -> None:
    """Each decoder gets SIGSEGV as soon as it starts, as if it crashed before it has loaded its libraries."""
    worker = appliance.pid("worker")
    killed: set[int] = set()

    def kill_decoders() -> None:
        for pid in children(worker):
            if pid not in killed and command_of(pid) == DECODER:
                os.kill(pid, signal.SIGSEGV)
                killed.add(pid)

    kill_decoders()  # idle ones: no file loses an attempt
    num_idle = len(killed)
    job_id = api.make_job()
    file_id = api.send(job_id, loud_wav())
    database = Database(appliance.data_dir / "appliance.db")

    def failed() -> bool:
        """Asks the database, which answers at once: a request to the API would give a decoder time to end."""
        kill_decoders()
        row = database.one("SELECT status FROM inference_files WHERE id = ?", [file_id])
        return row is not None and row["status"] not in ("queued", "processing")

    wait_for(failed, every_seconds=0.002)
    file = api.file(job_id, file_id)
    assert (file["status"], file["error_code"], file["detections"]) == ("failed", "decoder_died", [])
    assert len(killed) - num_idle == 3
    neighbour = api.send(job_id, loud_wav())
    assert api.finished_file(job_id, neighbour)["detections"] == LOUD_DETECTIONS


def run(command: list[str], appliance: Appliance) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=appliance.settings, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )


def test_a_second_up_on_the_same_folder_is_refused(appliance: Appliance) -> None:
    up = [sys.executable, "-m", "appliance.cli", "up", "--port", "0", "--data-dir", str(appliance.data_dir)]
    second = run(up, appliance)
    assert second.returncode == 1
    assert "Another appliance is serving" in second.stderr
    wait_for(appliance.ready)


def test_a_port_in_use_is_refused(appliance: Appliance, tmp_path: Path) -> None:
    port = appliance.url.rpartition(":")[2]
    up = [sys.executable, "-m", "appliance.cli", "up", "--port", port, "--data-dir", str(tmp_path)]
    second = run(up, appliance)
    assert second.returncode == 1
    assert f"127.0.0.1:{port} is already in use" in second.stderr


def has_ended(pid: int) -> bool:
    """Whether a process has ended. A zombie counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_sigterm_stops_all_in_order_and_a_second_start_keeps_everything(
    tmp_path: Path, models: Path, long_recording: bytes
) -> None:
    settings = {"storage_server": "minio", "lease_seconds": 5}
    with running_appliance(tmp_path / "data", models, **settings) as first:
        api = first.api
        job_id = api.make_job()
        completed = api.send(job_id, loud_wav())
        api.finished_job(job_id)
        unfinished = start_long_file(api, job_id, long_recording)
        processes = descendants(first.process.pid)
        assert len(processes) >= 5
        first.process.terminate()
        assert first.process.wait(PATIENCE_SECONDS) == 0
        wait_for(lambda: all(map(has_ended, processes)))
        assert first.output.read_text().rstrip().endswith("Stopped.")
        assert "had to be killed" not in first.output.read_text()
    with running_appliance(tmp_path / "data", models, **settings) as second:
        assert second.key == ""  # only the first start shows it
        api = Api(second.url, first.key)
        assert api.file(job_id, completed)["detections"] == LOUD_DETECTIONS
        assert_detected(api.finished_file(job_id, unfinished))


@bundled_storage
def test_nothing_outlives_a_killed_supervisor(tmp_path: Path, models: Path) -> None:
    settings = {"storage_server": "minio"}
    with running_appliance(tmp_path / "data", models, **settings) as first:
        job_id = first.api.make_job()
        first.api.send(job_id, loud_wav())
        first.api.finished_job(job_id)  # so that a decoder runs too
        processes = descendants(first.process.pid)
        commands = " ".join(map(command_of, processes))
        for part in ("minio", "caddy", "gunicorn", "appliance.worker", DECODER):
            assert part in commands, commands
        first.process.kill()
        first.process.wait()
        wait_for(lambda: all(map(has_ended, processes)))
    with running_appliance(tmp_path / "data", models, **settings) as second:
        assert Api(second.url, first.key).job(job_id)["status"] == "completed"


def test_secrets_are_neither_printed_nor_logged(appliance: Appliance, api: Api) -> None:
    api.send(api.make_job(), loud_wav())
    secrets = [appliance.key]
    for file in (appliance.data_dir / "secrets").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        secrets += re.findall(r'"secret_?[kK]ey": "([^"]+)"', file.read_text())
    assert len(secrets) > 3
    logs = "".join(log.read_text(errors="replace") for log in files_below(appliance.data_dir / "logs"))
    assert logs
    assert not [secret for secret in secrets if secret in logs]
    assert appliance.output.read_text().count(appliance.key) == 1
    assert not [secret for secret in secrets[1:] if secret in appliance.output.read_text()]
