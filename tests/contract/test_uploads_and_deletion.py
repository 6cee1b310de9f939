"""Uploads that are confirmed once and for all, jobs of any size, and deletion: the edges of the inference contract."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from appliance.state import inference_files
from appliance.state.database import Database
from appliance.storage.access import load_access
from appliance.storage.objects import ObjectStore
from tests.support.appliances import Api, Appliance, cpu_seconds, post_form, wait_for
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

JOBS = "/api/v1/inference-jobs"


@pytest.fixture
def job_id(api: Api) -> str:
    """A new job."""
    return api.make_job()


def original_of(api: Api, job_id: str, file_id: str) -> bytes:
    return requests.get(api.get(f"{JOBS}/{job_id}/files/{file_id}/download-url")["url"]).content


def objects_in(appliance: Appliance, folder: str) -> list[str]:
    """The objects whose key contains a folder."""
    store = ObjectStore(load_access(appliance.data_dir))
    return [stored.key for stored in store.list("", 100_000) if folder in stored.key]


def test_a_confirmed_original_cannot_be_replaced_through_its_form(api: Api, job_id: str) -> None:
    content = loud_wav()
    form = api.request_upload(job_id, len(content))
    post_form(form, content)
    api.confirm(job_id, form["file_id"])
    post_form(form, bytes(len(content)))  # the form is still valid
    assert api.finished_file(job_id, form["file_id"])["detections"] == LOUD_DETECTIONS
    assert original_of(api, job_id, form["file_id"]) == content
    api.confirm(job_id, form["file_id"])
    assert original_of(api, job_id, form["file_id"]) == content


def test_confirmed_audio_of_a_dataset_cannot_be_replaced(api: Api) -> None:
    content = loud_wav()
    dataset = api.post("/api/v1/datasets", {"name": "kept"}, 201)["id"]
    body = {"filename": "a.wav", "content_type": "audio/wav", "file_size": len(content)}
    form = api.post(f"/api/v1/datasets/{dataset}/audio/upload-url", body)
    form["upload_fields"] = form["fields"]
    post_form(form, content)
    api.post(f"/api/v1/datasets/{dataset}/audio/confirm", {"audio_id": form["audio_id"]})
    post_form(form, bytes(len(content)))
    audio = f"/api/v1/datasets/{dataset}/audio/{form['audio_id']}"
    wait_for(lambda: api.get(audio)["processing_status"] == "ready")
    assert requests.get(api.get(f"{audio}/download-url")["download_url"]).content == content


def test_a_confirmed_put_cannot_be_replaced(api: Api) -> None:
    content = loud_wav()
    body = {"fileName": "a.wav", "contentType": "audio/wav", "modelId": "loud-frames"}
    upload = api.post("/api/generate-presigned-url", body)
    assert requests.put(upload["presignedUrl"], data=content).status_code == 200
    status = f"/api/get-transcription?transcriptionId={upload['transcriptionId']}"
    wait_for(lambda: api.get(status)["status"] == "completed")
    assert requests.put(upload["presignedUrl"], data=bytes(len(content))).status_code == 200
    assert len(api.get(status)["detections"]) == 1


def test_a_form_takes_the_declared_size_and_no_other(api: Api, job_id: str) -> None:
    content = loud_wav()
    form = api.request_upload(job_id, len(content))
    for other in (content[:-1], content + b"!"):
        response = requests.post(form["upload_url"], data=form["upload_fields"], files={"file": ("a", other)})
        assert 400 <= response.status_code < 500
    api.confirm(job_id, form["file_id"], 409)
    post_form(form, content)
    api.confirm(job_id, form["file_id"])


def test_a_form_works_without_its_content_type(api: Api, job_id: str) -> None:
    content = loud_wav()
    form = api.request_upload(job_id, len(content))
    del form["upload_fields"]["Content-Type"]
    post_form(form, content)
    api.confirm(job_id, form["file_id"])
    assert api.finished_file(job_id, form["file_id"])["status"] == "completed"


def test_a_confirmation_of_a_failed_file_answers_with_its_own_error(api: Api, job_id: str) -> None:
    file_id = api.send(job_id, b"not a recording")
    failed = api.finished_file(job_id, file_id)
    problem = api.confirm(job_id, file_id, 409)
    assert failed["error_message"] in problem["detail"]
    assert api.file(job_id, file_id) == failed


def test_a_file_can_be_deleted_and_a_job_is_not_held_open_by_it(api: Api, appliance: Appliance, job_id: str) -> None:
    done = api.send(job_id, loud_wav())
    abandoned = api.request_upload(job_id, 1000)["file_id"]
    api.finished_file(job_id, done)
    assert api.job(job_id)["status"] == "processing"
    assert api.response("DELETE", f"{JOBS}/{job_id}/files/{abandoned}").status_code == 204
    assert (api.job(job_id)["status"], api.job(job_id)["total_files"]) == ("completed", 1)
    assert objects_in(appliance, done)
    assert api.response("DELETE", f"{JOBS}/{job_id}/files/{done}").status_code == 204
    api.get(f"{JOBS}/{job_id}/files/{done}", 404)
    assert api.job(job_id)["files"] == []
    wait_for(lambda: not objects_in(appliance, done))


def test_another_tenant_cannot_delete(api: Api, other: Api, job_id: str) -> None:
    file_id = api.send(job_id, loud_wav())
    assert other.response("DELETE", f"{JOBS}/{job_id}/files/{file_id}").status_code == 404
    assert other.response("DELETE", f"{JOBS}/{job_id}?purge=true").status_code == 404
    assert api.finished_file(job_id, file_id)["status"] == "completed"


def test_a_purged_job_is_gone_with_its_results_and_objects(api: Api, appliance: Appliance, job_id: str) -> None:
    api.send(job_id, loud_wav())
    api.upload(job_id, loud_wav())
    api.finished_file(job_id, api.job(job_id)["files"][0]["id"])
    assert api.cancel(job_id)["status"] == "cancelled"  # without purge, the answer is the cancelled job
    assert objects_in(appliance, job_id)
    assert api.response("DELETE", f"{JOBS}/{job_id}?purge=true").status_code == 204
    api.get(f"{JOBS}/{job_id}", 404)
    wait_for(lambda: not objects_in(appliance, job_id))


def test_a_mixed_job_says_how_many_files_failed(api: Api, job_id: str) -> None:
    api.send(job_id, loud_wav())
    api.send(job_id, b"not a recording")
    job = api.finished_job(job_id)
    assert (job["status"], job["processed_files"], job["failed_files"]) == ("completed", 2, 1)


def test_the_files_of_a_job_come_in_pages(api: Api, job_id: str) -> None:
    file_ids = [api.request_upload(job_id, 100)["file_id"] for _ in range(5)]
    done = api.send(job_id, loud_wav())
    api.finished_file(job_id, done)
    path, pages, cursor = f"{JOBS}/{job_id}/files", [], None
    while True:
        page = api.get(path, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        pages.append([file["id"] for file in page["files"]])
        if not (cursor := page["next_cursor"]):
            break
    assert pages == [file_ids[:2], file_ids[2:4], [file_ids[4], done]]
    assert api.get(path, params={"status": "completed"})["files"] == [api.file(job_id, done)]
    api.get(path, 400, params={"status": "done"})


def test_a_poll_can_leave_out_the_files(api: Api, job_id: str) -> None:
    api.send(job_id, loud_wav())
    whole = api.finished_job(job_id)
    files = whole.pop("files")
    assert len(files) == 1
    assert whole.pop("files_next_cursor") is None
    assert api.get(f"{JOBS}/{job_id}?files=false") == whole


def test_a_poll_with_an_etag_gets_304_until_something_changes(api: Api, job_id: str) -> None:
    first = api.response("GET", f"{JOBS}/{job_id}")
    headers = {"If-None-Match": first.headers["ETag"]}
    unchanged = api.response("GET", f"{JOBS}/{job_id}", headers=headers)
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", first.headers["ETag"])
    api.request_upload(job_id, 100)
    changed = api.response("GET", f"{JOBS}/{job_id}", headers=headers)
    assert (changed.status_code, changed.json()["total_files"]) == (200, 1)
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_a_poll_costs_the_same_for_few_and_for_many_files(api: Api, appliance: Appliance) -> None:
    """A job with 20,000 files is read about as quickly as one with ten: its counts are kept."""
    small, large = api.make_job(), api.make_job()
    for job_id, count in ((small, 10), (large, 20_000)):
        with Database(appliance.data_dir / "appliance.db").transaction() as tx:
            for number in range(count):
                inference_files.insert_file(
                    tx,
                    f"{job_id}-{number}",
                    job_id,
                    original_filename="",
                    content_type="audio/wav",
                    declared_size_bytes=1,
                    object_key=f"{job_id}/{number}",
                    upload_expires_at=1e12,
                )
    assert api.get(f"{JOBS}/{large}?files=false")["total_files"] == 20_000

    def seconds(job_id: str) -> float:
        started = cpu_seconds(appliance.pid("api"))
        for _ in range(20):
            api.get(f"{JOBS}/{job_id}?files=false")
        return cpu_seconds(appliance.pid("api")) - started

    assert seconds(large) < 3 * seconds(small)
    for job in (small, large):
        assert api.response("DELETE", f"{JOBS}/{job}?purge=true").status_code == 204


@pytest.mark.parametrize("query", [{"files": "maybe"}, {"filed": "true"}])
def test_an_invalid_query_of_a_poll_is_refused(api: Api, job_id: str, query: dict[str, Any]) -> None:
    api.get(f"{JOBS}/{job_id}", 400, params=query)
