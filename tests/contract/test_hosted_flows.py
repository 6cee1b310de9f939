"""Calls of the hosted services' neighboring pages, one after another, with the names of these pages."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.contract.test_speech_raw import assert_sample_text
from tests.support.appliances import Api, Appliance, wait_for
from tests.support.speech_sample import SAMPLE as SPEECH


@pytest.fixture
def bearer(appliance: Appliance) -> Api:
    """The API, with the key as a bearer token."""
    api = Api(appliance.url, None)
    api.session.headers["Authorization"] = f"Bearer {appliance.key}"
    return api


def test_relay_lists_are_read_by_page_number(api: Api) -> None:
    for path, body in (
        ("/api/v1/datasets", {"name": "takes", "artifact_types": [{"name": "glitch"}]}),
        ("/api/v1/inference-jobs", {"model_id": "loud-frames"}),
    ):
        newest = [api.post(path, body, 201)["id"] for _ in range(3)][::-1]
        pages = [api.get(path, params={"page": number, "page_size": 2}) for number in (1, 2)]
        assert [row["id"] for page in pages for row in page["items"]][:3] == newest
        assert [page["page"] for page in pages] == [1, 2]


def stored_upload(bearer: Api, *files: tuple[str, bytes]) -> Any:
    """Upload files in one form and wait until they are stored. Returns the upload."""
    form = [("files", file) for file in files]
    upload = bearer.call("POST", "/transcribe/files/upload", 202, files=form)

    def ended() -> Any:
        polled = bearer.get(f"/transcribe/files/upload/{upload['batch_upload_id']}")
        return polled if polled["pending"] == 0 else None

    return wait_for(ended)


def test_soket_from_upload_to_deletion(bearer: Api) -> None:
    upload = stored_upload(bearer, ("speech.flac", SPEECH.read_bytes()), ("noise.txt", b"no recording"), ("none", b""))
    assert {key: upload[key] for key in ("total_files", "completed", "failed", "uploading", "pending")} == {
        "total_files": 3,
        "completed": 2,
        "failed": 1,
        "uploading": 0,
        "pending": 0,
    }
    speech, noise, empty = upload["files"]
    assert speech["gcs_key"]
    assert empty["upload_status"] == "failed"

    batch = bearer.post("/transcribe/batch", {"batch_upload_id": upload["batch_upload_id"]}, 202)
    assert [job["file_id"] for job in batch["jobs"]] == [speech["file_id"], noise["file_id"]]
    assert batch["total_jobs"] == 2
    status_path = f"/transcribe/status/batch/{batch['batch_id']}"
    wait_for(lambda: bearer.get(status_path)["status"] == "completed")
    status = bearer.get(status_path)
    assert (status["total_files"], status["files_completed"], status["files_failed"]) == (2, 1, 1)
    assert status["estimated_audio_seconds"] > 19

    results = f"/transcribe/results/batch/{batch['batch_id']}"
    page = bearer.get(results, params={"status": "completed", "page": 1, "limit": 100})
    assert {key: page[key] for key in ("page", "limit", "total_pages", "total_files", "count")} == {
        "page": 1,
        "limit": 100,
        "total_pages": 1,
        "total_files": 1,
        "count": 1,
    }
    [result] = page["files"]
    assert_sample_text(result["result"]["text"])
    assert result["result"]["words"][0]["end_ms"] > 0
    assert bearer.get(f"/transcribe/results/file/{speech['file_id']}") == result
    failed = bearer.get(f"/transcribe/results/file/{noise['file_id']}")
    assert (failed["status"], bool(failed["errors"])) == ("failed", True)

    download = f"/transcribe/download/batch/{batch['batch_id']}"
    assert list(map(json.loads, bearer.response("GET", download).text.splitlines())) == [result, failed]
    assert bearer.get(download, params={"format": "json", "status": "failed"}) == [failed]

    listed = bearer.get("/transcribe/files", params={"page": 1, "limit": 3, "upload_status": "completed"})
    assert {file["file_id"] for file in listed["files"][:2]} == {speech["file_id"], noise["file_id"]}
    assert bearer.call("DELETE", f"/transcribe/files/{speech['file_id']}", 200)["jobs_cleaned"] == 1
    bearer.get(f"/transcribe/results/file/{speech['file_id']}", 404)
    rest = [noise["file_id"], empty["file_id"]]
    assert bearer.call("DELETE", "/transcribe/files", 200, json={"file_ids": rest})["deleted_count"] == 2


def test_soket_options_without_a_model_are_refused(bearer: Api) -> None:
    source = {"sources": [{"gcs_key": "uploads/a.wav"}]}
    assert "gcs_key" in bearer.post("/transcribe/batch", source, 400)["detail"]
    for path in ("results/batch/x", "download/batch/x", "results/file/x"):
        for option in ("raw", "chunks", "speech_information"):
            assert option in bearer.get(f"/transcribe/{path}", 400, params={option: "true"})["detail"]


def test_invox_with_the_names_of_its_pages(bearer: Api) -> None:
    for prefix in ("/api/v1", "/api"):
        created = bearer.post("/api/v1/generate-presigned-url", {"mimeType": "audio/flac"})
        path, body = f"{prefix}/get-transcription", {"requestId": created["requestId"]}
        pending = bearer.post(path, body)
        assert (pending["transcriptionStatus"], pending["transcription"]) == ("PENDING", [])
        put = requests.put(created["presignedUrl"], SPEECH.read_bytes(), headers={"Content-Type": "audio/flac"})
        assert put.status_code == 200
        ended = ended_transcription(bearer, path, body)
        assert (ended["transcriptionStatus"], ended["processingStatus"]) == ("COMPLETED", "COMPLETED")
        assert_sample_text(" ".join(segment["text"] for segment in ended["transcription"]))
        assert 0 <= ended["transcription"][0]["start"] < ended["transcription"][-1]["end"] < 20
        assert ended["vttTranscription"].startswith("WEBVTT")
        query = {"transcriptionId": created["requestId"]}
        assert bearer.get(path, params=query)["status"] == "completed"
        assert bearer.response("DELETE", path, params=query).status_code == 204
        bearer.post(path, body, 404)


def ended_transcription(bearer: Api, path: str, body: dict[str, str]) -> Any:
    """Poll until a transcription has ended. Returns it."""

    def ended() -> Any:
        transcription = bearer.post(path, body)
        return transcription if transcription["transcriptionStatus"] != "PENDING" else None

    return wait_for(ended)
