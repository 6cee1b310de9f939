"""The batch door: files are on disk before they are accepted, and reach storage and their text whatever dies."""

from __future__ import annotations

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

from tests.contract.test_speech_raw import SPEECH, assert_right
from tests.support.appliances import Api, Appliance, descendants, peak_bytes, running_appliance, wait_for
from tests.support.toy_recordings import loud_wav

MEBIBYTE = 1024**2


class Door:
    """The batch door as a client finds it."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {key}"}

    def raw(self, method: str, path: str, **options: Any) -> requests.Response:
        options["headers"] = self.headers | options.get("headers", {})
        return requests.request(method, f"{self.url}/transcribe{path}", timeout=60, **options)

    def call(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        response = self.raw(method, path, **options)
        assert response.status_code == status, response.text
        return response.json()

    def upload(self, *files: tuple[str, Any], part: str = "files", status: int = 202) -> Any:
        form = [(part, (name, content)) for name, content in files]
        return self.call("POST", "/files/upload", status, files=form)

    def uploaded(self, batch_upload_id: str) -> Any:
        """The batch, once its files are in storage."""

        def ended() -> Any:
            found = self.call("GET", f"/files/upload/{batch_upload_id}")
            return found if found["status"] != "accepted" else None

        return wait_for(ended)

    def transcribe(self, **body: Any) -> Any:
        """The batch of transcripts, once it ended."""
        made = self.call("POST", "/batch", 202, json=body)

        def ended() -> Any:
            found = self.call("GET", f"/batch/{made['batch_id']}")
            return found if found["processed_files"] == found["total_files"] else None

        return wait_for(ended)


@pytest.fixture
def door(api: Api) -> Door:
    return Door(api.url, api.key or "")


def test_the_references_command_works_as_printed(appliance: Appliance, tmp_path: Path, door: Door) -> None:
    shutil.copy(SPEECH, tmp_path / "audio1.flac")
    (tmp_path / "audio2.wav").write_bytes(loud_wav())
    command = [
        *("curl", "-sS", "-X", "POST", f"{appliance.url}/transcribe/files/upload"),
        *("-H", f"Authorization: Bearer {appliance.key}"),
        *("-F", f"files=@{tmp_path}/audio1.flac", "-F", f"files=@{tmp_path}/audio2.wav"),
    ]
    ran = subprocess.run(command, capture_output=True, check=True)
    receipt = requests.models.complexjson.loads(ran.stdout)
    assert list(receipt) == ["batch_upload_id", "status", "total_files", "spool_seconds", "files"]
    assert (receipt["status"], receipt["total_files"]) == ("accepted", 2)
    assert 0 <= receipt["spool_seconds"] < 60
    first, second = receipt["files"]
    keys = ["file_id", "filename", "size_bytes", "estimated_duration_seconds", "upload_status"]
    assert list(first) == list(second) == keys
    assert (first["filename"], first["size_bytes"]) == ("audio1.flac", SPEECH.stat().st_size)
    assert second["estimated_duration_seconds"] == pytest.approx(3.0, abs=2.5)
    assert {first["upload_status"], second["upload_status"]} <= {"pending", "completed"}
    stored = door.uploaded(receipt["batch_upload_id"])
    assert [each["upload_status"] for each in stored["files"]] == ["completed", "completed"]
    batch = door.transcribe(batch_upload_id=receipt["batch_upload_id"])
    assert batch["status"] == "completed"
    heard, _ = batch["transcripts"]
    assert (heard["file_id"], heard["filename"]) == (first["file_id"], "audio1.flac")
    assert first["estimated_duration_seconds"] == pytest.approx(heard["duration_ms"] / 1000, abs=0.01)
    assert_right(heard["text"])
    assert " ".join(segment["text"] for segment in heard["segments"]) == heard["text"]


def test_the_generated_command_of_the_reference_counts_too(door: Door) -> None:
    form = [("files", (None, "<string>")), ("files.items", ("example-file", SPEECH.read_bytes()))]
    receipt = door.call("POST", "/files/upload", 202, files=form)
    assert [each["filename"] for each in receipt["files"]] == ["example-file"]


def test_files_can_be_asked_for_before_they_are_stored_and_by_their_ids(door: Door) -> None:
    receipt = door.upload(("a.flac", SPEECH.read_bytes()), ("b.txt", b"no recording"))
    ids = [each["file_id"] for each in receipt["files"]]
    batch = door.transcribe(file_ids=ids[::-1])
    assert [each["file_id"] for each in batch["transcripts"]] == ids[::-1]
    bad, good = batch["transcripts"]
    assert (bad["status"], bad["text"], bad["error_code"]) == ("failed", None, "corrupt_audio")
    assert good["status"] == "completed"
    assert batch["status"] == "completed"
    assert door.transcribe(file_ids=ids[1:])["status"] == "failed"


def test_a_length_that_is_not_known_is_null(door: Door) -> None:
    receipt = door.upload(("a.wav", b"no recording"), ("b.wav", loud_wav()))
    assert receipt["files"][0]["estimated_duration_seconds"] is None
    assert receipt["files"][1]["estimated_duration_seconds"] > 0


def test_a_name_is_shown_as_given_and_leads_nowhere(appliance: Appliance, door: Door) -> None:
    name = "../../Prüfung <1>.wav"
    receipt = door.upload((name, loud_wav()))
    assert receipt["files"][0]["filename"] == name
    assert door.uploaded(receipt["batch_upload_id"])["status"] == "completed"
    assert list(appliance.data_dir.rglob("Pr*fung*")) == []


def test_what_is_no_batch_is_refused_and_leaves_nothing(appliance: Appliance, door: Door) -> None:
    assert "files" in door.call("POST", "/files/upload", 400, files=[("files", (None, "text"))])["detail"]
    assert "multipart/form-data" in door.call("POST", "/files/upload", 400, json={})["detail"]
    assert "empty" in door.upload(("a.wav", loud_wav()), ("b.wav", b""), status=400)["detail"]
    assert "audio" in door.upload(("a.wav", loud_wav()), part="audio", status=400)["detail"]
    form = requests.Request("POST", "http://x", files={"files": ("a.wav", loud_wav())}).prepare()
    cut = door.call(
        "POST", "/files/upload", 400, data=form.body[:-100], headers={"Content-Type": form.headers["Content-Type"]}
    )
    assert "broke off" in cut["detail"]
    wait_for(lambda: spooled(appliance) == [])


def test_a_batch_is_its_tenants(door: Door, other: Api, anonymous: Api) -> None:
    receipt = door.upload(("a.wav", loud_wav()))
    stranger = Door(other.url, other.key or "")
    upload_id, file_id = receipt["batch_upload_id"], receipt["files"][0]["file_id"]
    stranger.call("GET", f"/files/upload/{upload_id}", 404)
    stranger.call("POST", "/batch", 404, json={"batch_upload_id": upload_id})
    stranger.call("POST", "/batch", 404, json={"file_ids": [file_id]})
    batch = door.transcribe(batch_upload_id=upload_id)
    stranger.call("GET", f"/batch/{batch['batch_id']}", 404)
    nobody = Door(anonymous.url, "")
    for method, path in (("POST", "/files/upload"), ("GET", f"/files/upload/{upload_id}"), ("POST", "/batch")):
        assert nobody.call(method, path, 401)["code"] == "unauthorized"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "batch_upload_id"),
        ({"batch_upload_id": "a", "file_ids": ["b"]}, "file_ids"),
        ({"file_ids": []}, "file_ids"),
        ({"batch_upload_id": "a", "language": "hi"}, "language"),
        ({"batch_upload_id": "a", "model": "loud-frames"}, "model"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(door: Door, body: dict[str, Any], named: str) -> None:
    assert named in door.call("POST", "/batch", 400, json=body)["detail"]


def test_a_large_file_passes_without_touching_memory(appliance: Appliance, door: Door) -> None:
    before = {name: peak_bytes(appliance.pid(name)) for name in ("api", "frontdoor")}
    boundary = "b0undary"

    def body() -> Iterator[bytes]:
        head = 'Content-Disposition: form-data; name="files"; filename="big.wav"'
        yield f"--{boundary}\r\n{head}\r\n\r\n".encode()
        for _ in range(200):
            yield bytes(MEBIBYTE)
        yield f"\r\n--{boundary}--\r\n".encode()

    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    receipt = door.call("POST", "/files/upload", 202, data=body(), headers=headers)
    assert receipt["files"][0]["size_bytes"] == 200 * MEBIBYTE
    for name, peak in before.items():
        assert peak_bytes(appliance.pid(name)) - peak < 100 * MEBIBYTE, name
    assert door.uploaded(receipt["batch_upload_id"])["status"] == "completed"


@pytest.fixture
def small(tmp_path: Path, models: Path) -> Iterator[Appliance]:
    """An appliance for files of up to 1 MiB, whose worker is missed after two seconds."""
    limits = {"max_upload_bytes": MEBIBYTE, "max_batch_bytes": 4 * MEBIBYTE, "streamed_uploads": 1}
    with running_appliance(tmp_path / "small", models, storage_server="minio", lease_seconds=2, **limits) as running:
        yield running


def test_limits_hold_at_both_doors(small: Appliance) -> None:
    door = Door(small.url, small.key)
    largest = bytes(MEBIBYTE)
    assert len(door.upload(("a", largest), ("b", largest))["files"]) == 2
    assert door.upload(("a", largest), ("b", largest + b"1"), status=413)["code"] == "file_too_large"
    assert door.upload(*[("a", largest)] * 6, status=413)["code"] == "file_too_large"
    wait_for(lambda: spooled(small) == [])

    def chunked(size: int) -> Iterator[bytes]:
        for at in range(0, size, 100_000):
            yield bytes(min(100_000, size - at))

    for content in (largest + b"1", chunked(MEBIBYTE + 1)):
        refused = requests.post(f"{small.url}/v2/upload", data=content, headers={"Authorization": small.key})
        assert refused.status_code == 413
        assert "limit" in refused.json()["error"]
    wait_for(lambda: taken(small, largest))


def test_slow_uploads_leave_the_api_free(small: Appliance) -> None:
    with slow_upload(small):
        wait_for(lambda: spooled(small))
        busy = requests.post(f"{small.url}/v2/upload", data=b"x", headers={"Authorization": small.key})
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "2")
        assert small.ready()
    wait_for(lambda: spooled(small) == [])
    wait_for(lambda: taken(small, b"x"))


def test_kills_between_spool_and_storage_lose_nothing(small: Appliance) -> None:
    door = Door(small.url, small.key)
    os.kill(small.pid("storage"), signal.SIGSTOP)
    stopped = small.pid("storage")
    receipt = door.upload(("a.flac", SPEECH.read_bytes()), ("b.flac", SPEECH.read_bytes()))
    made = door.call("POST", "/batch", 202, json={"batch_upload_id": receipt["batch_upload_id"]})
    assert made["status"] == "pending"
    assert {each["upload_status"] for each in receipt["files"]} == {"pending"}
    kill_api(small)
    small.kill("worker")
    os.kill(stopped, signal.SIGKILL)
    wait_for(lambda: answers(door))
    assert door.uploaded(receipt["batch_upload_id"])["status"] == "completed"

    def ended() -> Any:
        found = door.call("GET", f"/batch/{made['batch_id']}")
        return found if found["processed_files"] == 2 else None

    for heard in wait_for(ended)["transcripts"]:
        assert_right(heard["text"])
    wait_for(lambda: spooled(small) == [])


def test_what_a_killed_request_left_is_swept(small: Appliance) -> None:
    with slow_upload(small):
        (left,) = wait_for(lambda: spooled(small))
        kill_api(small)
    wait_for(lambda: answers(Door(small.url, small.key)))
    assert left.exists()
    os.utime(left.parent, (0, 0))
    wait_for(lambda: not left.parent.exists())


class slow_upload:  # noqa: N801
    """A batch whose second half never comes, while the block lasts."""

    def __init__(self, appliance: Appliance) -> None:
        url = urlsplit(appliance.url)
        self.socket = socket.create_connection((url.hostname, url.port))
        head = (
            f"POST /transcribe/files/upload HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {appliance.key}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 900000\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        )
        self.socket.sendall(head.encode() + bytes(500_000))

    def __enter__(self) -> slow_upload:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def kill_api(appliance: Appliance) -> None:
    """Kill the API with the process that serves, which else would tidy up."""
    master = appliance.pid("api")
    for pid in (master, *descendants(master)):
        os.kill(pid, signal.SIGKILL)


def answers(door: Door) -> bool:
    """Whether the API answers: the front door, alone, would say 503."""
    return door.raw("GET", "/batch/none").status_code == 404


def taken(appliance: Appliance, content: bytes) -> bool:
    """Whether a raw upload is taken in; an upload that ended just now may hold its place for a moment."""
    return requests.post(f"{appliance.url}/v2/upload", data=content, headers={"Authorization": appliance.key}).ok


def spooled(appliance: Appliance) -> list[Path]:
    """The files in the spool folder."""
    return [path for path in (appliance.data_dir / "spool").rglob("*") if path.is_file()]
