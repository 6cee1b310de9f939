"""The batch route: an accepted file is on disk, and reaches storage and its text whichever process is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.contract.test_speech_raw import assert_sample_text
from tests.support.appliances import (
    PATIENCE_SECONDS,
    Api,
    Appliance,
    bundled_storage,
    descendants,
    files_below,
    kill,
    peak_bytes,
    running_appliance,
    wait_for,
)
from tests.support.speech_sample import SAMPLE as SPEECH
from tests.support.toy_recordings import loud_wav

MEBIBYTE = 1024**2


class BatchClient:
    """Calls the batch route with one key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {key}"}

    def response(self, method: str, path: str, **options: Any) -> requests.Response:
        options["headers"] = self.headers | options.get("headers", {})
        return requests.request(method, f"{self.url}/transcribe{path}", timeout=PATIENCE_SECONDS, **options)

    def call(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        response = self.response(method, path, **options)
        assert response.status_code == status, response.text
        return response.json()

    def upload(self, *files: tuple[str, Any], part: str = "files", status: int = 202) -> Any:
        form = [(part, (name, content)) for name, content in files]
        return self.call("POST", "/files/upload", status, files=form)

    def finished_upload(self, batch_upload_id: str) -> Any:
        """Wait until the files of an upload are in storage. Returns the upload."""

        def ended() -> Any:
            upload = self.call("GET", f"/files/upload/{batch_upload_id}")
            return upload if upload["status"] != "accepted" else None

        return wait_for(ended)

    def transcribe(self, **body: Any) -> Any:
        """Create a batch of transcripts and wait until it has ended. Returns it."""
        batch_id = self.call("POST", "/batch", 202, json=body)["batch_id"]

        def ended() -> Any:
            batch = self.call("GET", f"/batch/{batch_id}")
            return batch if batch["processed_files"] == batch["total_files"] else None

        return wait_for(ended)


@pytest.fixture
def batches(api: Api) -> BatchClient:
    return BatchClient(api.url, api.key or "")


def test_the_command_of_the_reference_works_as_printed(
    appliance: Appliance, tmp_path: Path, batches: BatchClient
) -> None:
    shutil.copy(SPEECH, tmp_path / "audio1.flac")
    (tmp_path / "audio2.wav").write_bytes(loud_wav())
    command = [
        *("curl", "-sS", "-X", "POST", f"{appliance.url}/transcribe/files/upload"),
        *("-H", f"Authorization: Bearer {appliance.key}"),
        *("-F", f"files=@{tmp_path}/audio1.flac", "-F", f"files=@{tmp_path}/audio2.wav"),
    ]
    curl = subprocess.run(command, capture_output=True, check=True)
    receipt = json.loads(curl.stdout)
    assert list(receipt) == ["batch_upload_id", "status", "total_files", "spool_seconds", "files"]
    assert (receipt["status"], receipt["total_files"]) == ("accepted", 2)
    assert 0 <= receipt["spool_seconds"] < 60
    first, second = receipt["files"]
    keys = ["file_id", "filename", "size_bytes", "estimated_duration_seconds", "upload_status"]
    assert list(first) == list(second) == keys
    assert (first["filename"], first["size_bytes"]) == ("audio1.flac", SPEECH.stat().st_size)
    assert second["estimated_duration_seconds"] == pytest.approx(3.0, abs=2.5)
    assert {first["upload_status"], second["upload_status"]} <= {"pending", "completed"}
    upload = batches.finished_upload(receipt["batch_upload_id"])
    assert [file["upload_status"] for file in upload["files"]] == ["completed", "completed"]
    batch = batches.transcribe(batch_upload_id=receipt["batch_upload_id"])
    assert batch["status"] == "completed"
    transcript, _ = batch["transcripts"]
    assert (transcript["file_id"], transcript["filename"]) == (first["file_id"], "audio1.flac")
    assert first["estimated_duration_seconds"] == pytest.approx(transcript["duration_ms"] / 1000, abs=0.01)
    assert_sample_text(transcript["text"])
    assert " ".join(segment["text"] for segment in transcript["segments"]) == transcript["text"]


def test_the_generated_command_of_the_reference_works_too(batches: BatchClient) -> None:
    form = [("files", (None, "<string>")), ("files.items", ("example-file", SPEECH.read_bytes()))]
    receipt = batches.call("POST", "/files/upload", 202, files=form)
    assert [file["filename"] for file in receipt["files"]] == ["example-file"]


def test_files_can_be_transcribed_by_id_before_they_are_stored(batches: BatchClient) -> None:
    receipt = batches.upload(("a.flac", SPEECH.read_bytes()), ("b.txt", b"no recording"))
    ids = [file["file_id"] for file in receipt["files"]]
    batch = batches.transcribe(file_ids=ids[::-1])
    assert [transcript["file_id"] for transcript in batch["transcripts"]] == ids[::-1]
    bad, good = batch["transcripts"]
    assert (bad["status"], bad["text"], bad["error_code"]) == ("failed", None, "corrupt_audio")
    assert good["status"] == "completed"
    assert batch["status"] == "completed"
    assert batches.transcribe(file_ids=ids[1:])["status"] == "failed"


def test_an_unknown_duration_is_null(batches: BatchClient) -> None:
    receipt = batches.upload(("a.wav", b"no recording"), ("b.wav", loud_wav()))
    assert receipt["files"][0]["estimated_duration_seconds"] is None
    assert receipt["files"][1]["estimated_duration_seconds"] > 0


def test_a_file_name_is_returned_unchanged_and_never_used_as_a_path(appliance: Appliance, batches: BatchClient) -> None:
    name = "../../Prüfung <1>.wav"
    receipt = batches.upload((name, loud_wav()))
    assert receipt["files"][0]["filename"] == name
    assert batches.finished_upload(receipt["batch_upload_id"])["status"] == "completed"
    assert not [path for path in files_below(appliance.data_dir) if "fung" in path.name]


def test_an_invalid_upload_is_refused_and_leaves_no_file(appliance: Appliance, batches: BatchClient) -> None:
    assert "files" in batches.call("POST", "/files/upload", 400, files=[("files", (None, "text"))])["detail"]
    assert "multipart/form-data" in batches.call("POST", "/files/upload", 400, json={})["detail"]
    assert "empty" in batches.upload(("a.wav", b""), ("b.wav", b""), status=400)["detail"]
    assert "audio" in batches.upload(("a.wav", loud_wav()), part="audio", status=400)["detail"]
    form = requests.Request("POST", "http://x", files={"files": ("a.wav", loud_wav())}).prepare()
    assert isinstance(form.body, bytes)
    cut = batches.call(
        "POST", "/files/upload", 400, data=form.body[:-100], headers={"Content-Type": form.headers["Content-Type"]}
    )
    assert "broke off" in cut["detail"]
    wait_for(lambda: spooled(appliance) == [])


def test_a_batch_of_another_tenant_is_a_404(batches: BatchClient, other: Api, anonymous: Api) -> None:
    receipt = batches.upload(("a.wav", loud_wav()))
    other_tenant = BatchClient(other.url, other.key or "")
    upload_id, file_id = receipt["batch_upload_id"], receipt["files"][0]["file_id"]
    other_tenant.call("GET", f"/files/upload/{upload_id}", 404)
    other_tenant.call("POST", "/batch", 404, json={"batch_upload_id": upload_id})
    other_tenant.call("POST", "/batch", 404, json={"file_ids": [file_id]})
    batch = batches.transcribe(batch_upload_id=upload_id)
    other_tenant.call("GET", f"/batch/{batch['batch_id']}", 404)
    anonymous_client = BatchClient(anonymous.url, "")
    for method, path in (("POST", "/files/upload"), ("GET", f"/files/upload/{upload_id}"), ("POST", "/batch")):
        assert anonymous_client.call(method, path, 401)["code"] == "unauthorized"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "batch_upload_id"),
        ({"file_ids": []}, "file_ids"),
        ({"batch_upload_id": "a", "language": "hi"}, "language"),
        ({"batch_upload_id": "a", "model": "loud-frames"}, "model"),
    ],
)
def test_an_invalid_batch_request_names_the_field(batches: BatchClient, body: dict[str, Any], field: str) -> None:
    assert field in batches.call("POST", "/batch", 400, json=body)["detail"]


def test_a_large_file_is_never_held_in_memory(appliance: Appliance, batches: BatchClient) -> None:
    before = {name: peak_bytes(appliance.pid(name)) for name in ("api", "frontdoor")}
    boundary = "b0undary"

    def body() -> Iterator[bytes]:
        head = 'Content-Disposition: form-data; name="files"; filename="big.wav"'
        yield f"--{boundary}\r\n{head}\r\n\r\n".encode()
        for _ in range(200):
            yield bytes(MEBIBYTE)
        yield f"\r\n--{boundary}--\r\n".encode()

    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    receipt = batches.call("POST", "/files/upload", 202, data=body(), headers=headers)
    assert receipt["files"][0]["size_bytes"] == 200 * MEBIBYTE
    for name, peak in before.items():
        assert peak_bytes(appliance.pid(name)) - peak < 128 * MEBIBYTE, name
    assert batches.finished_upload(receipt["batch_upload_id"])["status"] == "completed"


@pytest.fixture
def small(tmp_path: Path, models: Path) -> Iterator[Appliance]:
    """An appliance for files of up to 1 MiB, whose leases last five seconds."""
    limits = {"max_upload_bytes": MEBIBYTE, "max_batch_bytes": 4 * MEBIBYTE, "streamed_uploads": 1}
    with running_appliance(tmp_path / "small", models, storage_server="minio", lease_seconds=5, **limits) as running:
        yield running


def test_size_limits_hold_for_batch_and_raw_uploads(small: Appliance) -> None:
    batches = BatchClient(small.url, small.key)
    largest = bytes(MEBIBYTE)
    assert len(batches.upload(("a", largest), ("b", largest))["files"]) == 2
    assert batches.upload(("a", largest), ("b", largest + b"1"), status=413)["code"] == "file_too_large"
    assert batches.upload(*[("a", largest)] * 6, status=413)["code"] == "file_too_large"
    wait_for(lambda: spooled(small) == [])

    def chunked(size: int) -> Iterator[bytes]:
        for at in range(0, size, 100_000):
            yield bytes(min(100_000, size - at))

    for content in (largest + b"1", chunked(MEBIBYTE + 1)):
        refused = requests.post(f"{small.url}/v2/upload", data=content, headers={"Authorization": small.key})
        assert refused.status_code == 413
        assert "limit" in refused.json()["error"]
    wait_for(lambda: accepts(small, largest))


def test_slow_uploads_leave_the_api_free(small: Appliance) -> None:
    with SlowUpload(small):
        wait_for(lambda: spooled(small))
        busy = requests.post(f"{small.url}/v2/upload", data=b"x", headers={"Authorization": small.key})
        assert (busy.status_code, busy.headers["Retry-After"]) == (429, "2")
        wait_for(small.ready)
    wait_for(lambda: spooled(small) == [])
    wait_for(lambda: accepts(small, b"x"))


@bundled_storage
def test_kills_between_spool_and_storage_lose_nothing(small: Appliance) -> None:
    batches = BatchClient(small.url, small.key)
    storage = small.pid("storage")
    os.kill(storage, signal.SIGSTOP)
    receipt = batches.upload(("a.flac", SPEECH.read_bytes()), ("b.flac", SPEECH.read_bytes()))
    batch = batches.call("POST", "/batch", 202, json={"batch_upload_id": receipt["batch_upload_id"]})
    assert batch["status"] == "pending"
    assert {file["upload_status"] for file in receipt["files"]} == {"pending"}
    kill_api(small)
    small.kill("worker")
    os.kill(storage, signal.SIGKILL)
    wait_for(lambda: api_answers(batches))
    assert batches.finished_upload(receipt["batch_upload_id"])["status"] == "completed"

    def ended() -> Any:
        latest = batches.call("GET", f"/batch/{batch['batch_id']}")
        return latest if latest["processed_files"] == 2 else None

    for transcript in wait_for(ended)["transcripts"]:
        assert_sample_text(transcript["text"])
    wait_for(lambda: spooled(small) == [])


def test_files_left_by_a_killed_request_are_swept(small: Appliance) -> None:
    with SlowUpload(small):
        (file,) = wait_for(lambda: spooled(small))
        kill_api(small)
    wait_for(lambda: api_answers(BatchClient(small.url, small.key)))
    assert file.exists()
    os.utime(file.parent, (0, 0))
    wait_for(lambda: not file.parent.exists())


class SlowUpload:
    """A batch upload that stays half sent until the block ends."""

    def __init__(self, appliance: Appliance) -> None:
        url = urlsplit(appliance.url)
        self.socket = socket.create_connection((url.hostname, url.port))
        head = (
            f"POST /transcribe/files/upload HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {appliance.key}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 900000\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        )
        self.socket.sendall(head.encode() + bytes(500_000))

    def __enter__(self) -> SlowUpload:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def kill_api(appliance: Appliance) -> None:
    """Kill the API and its worker process, which would otherwise clean up."""
    master = appliance.pid("api")
    kill(master, *descendants(master))


def api_answers(batches: BatchClient) -> bool:
    """Whether the API answers: the front door alone would answer 503."""
    return batches.response("GET", "/batch/none").status_code == 404


def accepts(appliance: Appliance, content: bytes) -> bool:
    """Whether a raw upload is accepted. An upload that has just ended may hold its slot for a moment."""
    return requests.post(f"{appliance.url}/v2/upload", data=content, headers={"Authorization": appliance.key}).ok


def spooled(appliance: Appliance) -> list[Path]:
    """The files in the spool folder."""
    return files_below(appliance.data_dir / "spool")
