"""The batch route's calls for progress, results, files and downloads, with the field names of the hosted service."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.test_speech_batch import BatchClient
from tests.contract.test_speech_raw import assert_sample_text
from tests.support.appliances import Api, Appliance, wait_for
from tests.support.speech_sample import SAMPLE as SPEECH
from tests.support.toy_recordings import loud_wav

DAMAGED = b"this is no recording"


@pytest.fixture(scope="module")
def batches(appliance: Appliance) -> BatchClient:
    """A tenant of its own, so that its list of files has only those of this module."""
    tenant = appliance.api_of("batch-pages", "batch-pages")
    return BatchClient(tenant.url, tenant.key or "")


@pytest.fixture(scope="module")
def upload(batches: BatchClient) -> Any:
    """An upload of a recording of speech, a damaged one, an empty one and one without speech, in storage."""
    files = [("speech.flac", SPEECH.read_bytes()), ("bad.wav", DAMAGED), ("empty.wav", b""), ("loud.wav", loud_wav())]
    return batches.finished_upload(batches.upload(*files)["batch_upload_id"])


@pytest.fixture(scope="module")
def created(batches: BatchClient, upload: Any) -> Any:
    """The answer to the request of a batch of that upload, whose transcripts have ended by now."""
    answer = batches.call("POST", "/batch", 202, json={"batch_upload_id": upload["batch_upload_id"]})

    def ended() -> bool:
        progress = batches.call("GET", f"/status/batch/{answer['batch_id']}")
        return progress["files_completed"] + progress["files_failed"] == progress["total_files"]

    wait_for(ended)
    return answer


@pytest.fixture
def batch_id(created: Any) -> str:
    """The batch."""
    return created["batch_id"]


def test_one_empty_file_does_not_cost_the_others(upload: Any) -> None:
    assert upload["status"] == "failed"  # as long as one file of the upload failed
    counters = {name: upload[name] for name in ("total_files", "completed", "failed", "uploading", "pending")}
    assert counters == {"total_files": 4, "completed": 3, "failed": 1, "uploading": 0, "pending": 0}
    speech, _, empty, _ = upload["files"]
    assert (empty["filename"], empty["size_bytes"], empty["upload_status"]) == ("empty.wav", 0, "failed")
    assert "no bytes" in empty["error_message"]
    assert "gcs_key" not in empty
    assert speech["gcs_key"]


def test_the_request_of_a_batch_lists_its_jobs(created: Any, upload: Any) -> None:
    speech, bad, _, loud = upload["files"]
    assert created["total_jobs"] == 3
    keys = ["file_id", "filename", "batch_id", "status"]
    assert [list(job) for job in created["jobs"]] == [keys] * 3
    assert [job["file_id"] for job in created["jobs"]] == [speech["file_id"], bad["file_id"], loud["file_id"]]
    assert created["jobs"][0]["batch_id"] == created["batch_id"]
    seconds = speech["estimated_duration_seconds"] + loud["estimated_duration_seconds"]
    assert created["estimated_audio_seconds"] == pytest.approx(seconds, abs=0.01)
    assert created["estimated_completion_seconds"] > 0


def test_progress_is_in_counters(batches: BatchClient, batch_id: str) -> None:
    progress = batches.call("GET", f"/status/batch/{batch_id}")
    assert progress.pop("estimated_audio_seconds") > 0
    assert progress == {
        "batch_id": batch_id,
        "status": "completed",
        "total_files": 3,
        "files_completed": 2,
        "files_failed": 1,
        "files_processing": 0,
        "estimated_completion_seconds": 0.0,
        "total_jobs": 3,
        "completed_jobs": 2,
        "failed_jobs": 1,
        "processing_jobs": 0,
        "queued_jobs": 0,
    }


def test_results_come_in_pages_and_by_status(batches: BatchClient, batch_id: str) -> None:
    path = f"/results/batch/{batch_id}"
    first = batches.call("GET", path, params={"page": 1, "limit": 2})
    second = batches.call("GET", path, params={"page": 2, "limit": 2})
    assert list(first) == ["batch_id", "page", "limit", "total_pages", "total_files", "count", "files"]
    assert [first[name] for name in list(first)[:-1]] == [batch_id, 1, 2, 2, 3, 2]
    names = [file["filename"] for page in (first, second) for file in page["files"]]
    assert names == ["speech.flac", "bad.wav", "loud.wav"]
    failed = batches.call("GET", path, params={"status": "failed"})
    assert (failed["total_files"], failed["count"], failed["files"][0]["filename"]) == (1, 1, "bad.wav")
    assert batches.call("GET", path, params={"status": "retrying"})["files"] == []
    assert batches.call("GET", path, params={"page": 9})["files"] == []
    assert len(batches.call("GET", path, params={"raw": "false", "chunks": "false"})["files"]) == 3


def test_a_result_has_words_with_times(batches: BatchClient, created: Any) -> None:
    speech, bad, _ = (job["file_id"] for job in created["jobs"])
    file = batches.call("GET", f"/results/file/{speech}")
    assert list(file) == ["file_id", "filename", "status", "result"]
    result = file["result"]
    assert_sample_text(result["text"])
    assert (file["status"], result["language"]) == ("completed", "en")
    assert " ".join(word["text"] for word in result["words"]) == result["text"]
    assert all(0 <= word["start_ms"] <= word["end_ms"] <= result["duration_ms"] for word in result["words"])
    failed = batches.call("GET", f"/results/file/{bad}")
    assert list(failed) == ["file_id", "filename", "status", "errors"]
    assert (failed["status"], failed["errors"][0]["error_code"]) == ("failed", "corrupt_audio")


def test_a_batch_is_downloaded_as_lines_or_as_an_array(batches: BatchClient, batch_id: str) -> None:
    path = f"/download/batch/{batch_id}"
    pages = batches.call("GET", f"/results/batch/{batch_id}")["files"]
    lines = batches.response("GET", path)
    assert lines.headers["Content-Type"].startswith("application/x-ndjson")
    assert f"{batch_id}.ndjson" in lines.headers["Content-Disposition"]
    assert [json.loads(line) for line in lines.content.split(b"\n")[:-1]] == pages
    completed = batches.response("GET", path, params={"status": "completed", "format": "json"})
    assert completed.json() == [file for file in pages if file["status"] == "completed"]
    assert batches.response("GET", path, params={"status": "pending", "format": "json"}).json() == []


def test_files_are_listed_newest_first(batches: BatchClient, upload: Any) -> None:
    newer = batches.upload(("newer.wav", loud_wav()))
    batches.finished_upload(newer["batch_upload_id"])
    page = batches.call("GET", "/files", params={"page": 1, "limit": 2})
    assert list(page) == ["page", "limit", "total_pages", "total_files", "count", "files"]
    assert [page[name] for name in list(page)[:-1]] == [1, 2, 3, 5, 2]
    assert [file["filename"] for file in page["files"]] == ["newer.wav", "loud.wav"]
    listed = batches.call("GET", "/files", params={"upload_status": "completed"})["files"]
    assert listed[1] == upload["files"][3] | {
        "batch_upload_id": upload["batch_upload_id"],
        "content_type": "application/octet-stream",
    }
    failed = batches.call("GET", "/files", params={"upload_status": "failed"})
    assert [file["filename"] for file in failed["files"]] == ["empty.wav"]
    batches.call("DELETE", f"/files/{newer['files'][0]['file_id']}")
    assert batches.call("GET", "/files")["total_files"] == 4


def test_an_upload_and_files_of_another_one_make_one_batch(batches: BatchClient, created: Any) -> None:
    extra = batches.upload(("extra.wav", loud_wav()))
    named = [created["jobs"][2]["file_id"], extra["files"][0]["file_id"]]
    batch = batches.transcribe(batch_upload_id=extra["batch_upload_id"], file_ids=named)
    assert {transcript["file_id"] for transcript in batch["transcripts"]} == set(named)
    batches.call("DELETE", f"/files/{named[1]}")


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/results/batch/{}", {"status": "done"}, "status"),
        ("/results/batch/{}", {"limit": 201}, "limit"),
        ("/results/batch/{}", {"page": 0}, "page"),
        ("/results/batch/{}", {"raw": "true"}, "raw"),
        ("/results/batch/{}", {"speech_information": "true"}, "speech_information"),
        ("/download/batch/{}", {"format": "csv"}, "format"),
        ("/download/batch/{}", {"chunks": "true"}, "chunks"),
        ("/files", {"upload_status": "stored"}, "upload_status"),
    ],
)
def test_an_option_that_does_not_exist_is_refused_by_name(
    batches: BatchClient, batch_id: str, path: str, query: dict[str, Any], field: str
) -> None:
    assert batches.call("GET", path.format(batch_id), 400, params=query)["detail"].startswith(f"{field}: ")


def test_nothing_of_another_tenant_is_found(batches: BatchClient, created: Any, other: Api) -> None:
    stranger = BatchClient(other.url, other.key or "")
    batch_id, file_id = created["batch_id"], created["jobs"][0]["file_id"]
    for path in (f"/status/batch/{batch_id}", f"/results/batch/{batch_id}", f"/download/batch/{batch_id}"):
        stranger.call("GET", path, 404)
    stranger.call("GET", f"/results/file/{file_id}", 404)
    files = stranger.call("GET", "/files", params={"limit": 200})["files"]
    assert file_id not in {file["file_id"] for file in files}


def test_a_file_that_no_batch_names_has_no_result(batches: BatchClient) -> None:
    file_id = batches.upload(("x.wav", loud_wav()))["files"][0]["file_id"]
    assert "POST /transcribe/batch" in batches.call("GET", f"/results/file/{file_id}", 404)["detail"]
    batches.call("DELETE", f"/files/{file_id}")
