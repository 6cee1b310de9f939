"""A disk that is really full: a tmpfs of limited size. Skipped if mounting is not allowed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.contract.test_uploads_and_deletion import JOBS
from tests.support.appliances import Appliance, running_appliance, wait_for
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

GIBIBYTE = 1024**3


class SmallDisk:
    """A tmpfs whose size can change while it is in use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, size_bytes: int) -> bool:
        """Set the size of the disk. Returns False if it holds more."""
        command = ["mount", "-o", f"remount,size={size_bytes}", str(self.folder)]
        return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0

    def fill(self) -> None:
        """Leave no space."""
        wait_for(self._shrink)

    def _shrink(self) -> bool:
        disk = os.statvfs(self.folder)
        return self.resize((disk.f_blocks - disk.f_bfree) * disk.f_frsize)  # False if somebody wrote meanwhile


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """A disk of 3 GiB; MinIO wants 1 GiB free."""
    folder = tmp_path_factory.mktemp("disk")
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={3 * GIBIBYTE},mode=700", "tmpfs", str(folder)]
    if subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def appliance(disk: SmallDisk, models: Path) -> Iterator[Appliance]:
    """An appliance on this disk, which keeps nothing free, so that the disk can be full."""
    settings = {"least_free_bytes": 0, "lease_seconds": 5}
    with running_appliance(disk.folder / "data", models, storage_server="minio", **settings) as running:
        yield running


def test_a_full_disk_is_a_507_and_work_goes_on_when_there_is_space(appliance: Appliance, disk: SmallDisk) -> None:
    api, content = appliance.api, loud_wav()
    job_id = api.make_job()
    before = api.send(job_id, content)
    api.finished_file(job_id, before)
    uploaded = api.upload(job_id, content)
    form = api.request_upload(job_id, len(content))
    disk.fill()

    def full(call: Callable[[], requests.Response]) -> bool:
        """Whether the call is refused because the disk is full; before it is, a few may pass or be too early."""
        response = call()
        assert response.status_code in (200, 201, 202, 204, 507), response.text
        if response.status_code == 507:
            assert int(response.headers["Retry-After"]) > 0
            assert "full" in response.text
        return response.status_code == 507

    key = {"Authorization": str(api.key)}
    calls: list[Callable[[], requests.Response]] = [
        lambda: api.response("POST", JOBS, json={"model_id": "loud-frames"}),
        lambda: requests.post(form["upload_url"], data=form["upload_fields"], files={"file": content}),
        lambda: requests.post(f"{api.url}/v2/upload", data=content, headers=key),
        lambda: requests.post(f"{api.url}/transcribe/files/upload", files={"files": content}, headers=key),
        lambda: api.response("POST", f"{JOBS}/{job_id}/files/confirm", json={"file_id": uploaded}),
    ]
    for call in calls:
        wait_for(partial(full, call))
    assert api.file(job_id, before)["detections"] == LOUD_DETECTIONS  # what is there can be read

    def confirmed(file_id: str) -> bool:
        return api.response("POST", f"{JOBS}/{job_id}/files/confirm", json={"file_id": file_id}).ok

    disk.resize(3 * GIBIBYTE)
    wait_for(appliance.ready)
    wait_for(lambda: api.response("POST", JOBS, json={"model_id": "loud-frames"}).status_code == 201)
    wait_for(lambda: requests.post(form["upload_url"], data=form["upload_fields"], files={"file": content}).ok)
    for file_id in (uploaded, form["file_id"]):
        wait_for(partial(confirmed, file_id))
        assert api.finished_file(job_id, file_id)["detections"] == LOUD_DETECTIONS
    with sqlite3.connect(appliance.data_dir / "appliance.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    for name in ("api", "worker"):
        assert "Traceback" not in (appliance.data_dir / "logs" / f"{name}.log").read_text()
