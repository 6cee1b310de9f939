"""The whole flow with SeaweedFS as the storage server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.appliances import Api, Appliance, running_appliance, wait_for
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

WEED = {"storage_server": "seaweedfs", "webhook_networks": '["127.0.0.0/8"]'}


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """A running appliance with SeaweedFS."""
    with running_appliance(tmp_path_factory.mktemp("weed"), models, **WEED) as running:
        yield running


def test_from_upload_to_detections(appliance: Appliance, api: Api) -> None:
    assert appliance.pid("weed")
    assert appliance.output.read_text().count("Storage is SeaweedFS instead of MinIO") == 1
    job_id = api.make_job()
    content = loud_wav()
    good = api.send(job_id, content, name="Größe.wav")
    bad = api.send(job_id, b"no recording")
    job = api.finished_job(job_id)
    assert job["status"] == "completed"
    assert api.file(job_id, good)["detections"] == LOUD_DETECTIONS
    assert api.file(job_id, bad)["error_code"] == "corrupt_audio"
    url = api.get(f"/api/v1/inference-jobs/{job_id}/files/{good}/download-url")["url"]
    whole = requests.get(url)
    assert whole.content == content
    assert whole.headers["Content-Type"] == "audio/wav"
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fe.wav" in whole.headers["Content-Disposition"]
    part = requests.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content[10:20])
    pending = api.request_upload(job_id, 100)["file_id"]
    assert api.confirm(job_id, pending, 409)["code"] == "not_uploaded"


def test_no_client_can_make_the_appliance_call_a_port_of_storage(appliance: Appliance, api: Api) -> None:
    ports = listening_ports(appliance.pid("weed"))
    assert len(ports) >= 9
    for port in ports:
        body = {"model_id": "loud-frames", "callback_url": f"http://127.0.0.1:{port}/"}
        assert "belongs to the appliance itself" in api.post("/api/v1/inference-jobs", body, 400)["detail"]


def listening_ports(pid: int) -> set[int]:
    """The TCP ports on which a process listens."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(descriptor))
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


def test_an_acknowledged_upload_survives_a_killed_server(appliance: Appliance, api: Api) -> None:
    """SeaweedFS is killed at each stop, because its parts wait for each other."""
    job_id = api.make_job()
    content = loud_wav()
    file_id = api.upload(job_id, content)
    killed = appliance.kill("weed")
    wait_for(lambda: appliance.pid("weed") not in (0, killed))
    wait_for(appliance.ready)
    url = api.get(f"/api/v1/inference-jobs/{job_id}/files/{file_id}/download-url")["url"]
    wait_for(lambda: requests.get(url).content == content)  # it answers before its volumes are ready
    api.confirm(job_id, file_id)
    assert api.finished_file(job_id, file_id)["detections"] == LOUD_DETECTIONS
