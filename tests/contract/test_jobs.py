"""Inference jobs: create, read, list and cancel them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.support.appliances import Api, Appliance
from tests.support.toy_recordings import loud_wav

JOBS = "/api/v1/inference-jobs"


def test_a_new_job_has_every_field_and_the_defaults_of_the_reference(api: Api) -> None:
    job = api.post(JOBS, {"model_id": "loud-frames"}, 201)
    uuid.UUID(job["id"])
    assert job | {"id": 0, "created_at": 0, "updated_at": 0} == {
        "id": 0,
        "model_id": "loud-frames",
        "model_version": "1.0.0",
        "status": "pending",
        "config": {"threshold": 0.5, "merge_window_ms": 200, "min_duration_ms": 50},
        "callback_url": None,
        "callback": None,
        "total_files": 0,
        "processed_files": 0,
        "failed_files": 0,
        "error_message": None,
        "created_at": 0,
        "updated_at": 0,
        "files": [],
        "files_next_cursor": None,
    }
    assert api.job(job["id"]) == job


@pytest.mark.parametrize(
    ("model_id", "version"),
    [("loud-frames", "1.0.0"), ("loud-frames@0.9.0", "0.9.0"), ("loud-frames@1.0.0", "1.0.0")],
)
def test_a_model_is_named_with_or_without_its_version(api: Api, model_id: str, version: str) -> None:
    job = api.post(JOBS, {"model_id": model_id}, 201)
    assert (job["model_id"], job["model_version"]) == (model_id, version)


@pytest.mark.parametrize("model_id", ["nothing", "loud-frames@2.0.0", "@", "../loud-frames", "loud-frames/1.0.0", "é"])
def test_an_unknown_model_is_a_400_that_names_the_field(api: Api, model_id: str) -> None:
    problem = api.post(JOBS, {"model_id": model_id}, 400)
    assert "model_id" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "model_id"),
        ({"model_id": None}, "model_id"),
        ({"model_id": ""}, "model_id"),
        ({"model_id": 7}, "model_id"),
        ({"model_id": "x" * 300}, "model_id"),
        ({"model_id": "loud-frames", "modelid": 1}, "modelid"),
        ({"model_id": "loud-frames", "config": []}, "config"),
        ({"model_id": "loud-frames", "config": "high"}, "config"),
        ([], "body"),
        ("text", "body"),
        (None, "body"),
    ],
)
def test_a_malformed_body_is_a_400_that_names_the_field(api: Api, body: Any, field: str) -> None:
    assert field in api.post(JOBS, body, 400)["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", 0),
        ("threshold", 1),
        ("threshold", 0.0),
        ("threshold", 1.0),
        ("threshold", 0.3),
        ("merge_window_ms", 0),
        ("merge_window_ms", 5000),
        ("min_duration_ms", 0),
        ("min_duration_ms", 1000),
    ],
)
def test_a_value_within_its_range_is_accepted(api: Api, field: str, value: float) -> None:
    job = api.post(JOBS, {"model_id": "loud-frames", "config": {field: value}}, 201)
    expected = {"threshold": 0.5, "merge_window_ms": 200, "min_duration_ms": 50} | {field: value}
    assert job["config"] == expected


@pytest.mark.parametrize(
    ("field", "literal"),
    [
        ("threshold", "-0.0001"),
        ("threshold", "1.0001"),
        ("threshold", "NaN"),
        ("threshold", "Infinity"),
        ("threshold", '"0.5"'),
        ("threshold", "true"),
        ("threshold", "[]"),
        ("merge_window_ms", "-1"),
        ("merge_window_ms", "5001"),
        ("merge_window_ms", "1.5"),
        ("merge_window_ms", '"200"'),
        ("merge_window_ms", "true"),
        ("merge_window_ms", "1e400"),
        ("min_duration_ms", "-1"),
        ("min_duration_ms", "1001"),
        ("min_duration_ms", "50.5"),
        ("min_duration_ms", "false"),
        ("min_duration", "50"),
        ("Threshold", "0.5"),
    ],
)
def test_a_value_out_of_its_range_is_a_400_that_names_the_field(api: Api, field: str, literal: str) -> None:
    body = f'{{"model_id": "loud-frames", "config": {{"{field}": {literal}}}}}'
    problem = api.call("POST", JOBS, 400, data=body, headers={"Content-Type": "application/json"})
    assert field in problem["detail"]


@pytest.mark.parametrize("field", ["threshold", "merge_window_ms", "min_duration_ms"])
def test_null_means_the_default(api: Api, field: str) -> None:
    job = api.post(JOBS, {"model_id": "loud-frames", "config": {field: None}}, 201)
    assert job["config"] == {"threshold": 0.5, "merge_window_ms": 200, "min_duration_ms": 50}
    assert api.post(JOBS, {"model_id": "loud-frames", "config": None}, 201)["config"] == job["config"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, [(0, 465), (812, 1115)]),
        ({"merge_window_ms": 349}, [(0, 1115)]),
        ({"merge_window_ms": 348}, [(0, 465), (812, 1115)]),
        ({"merge_window_ms": 0}, [(0, 117), (232, 465), (812, 1115)]),
        ({"merge_window_ms": 0, "min_duration_ms": 117}, [(232, 465), (812, 1115)]),
        ({"threshold": 0.6}, [(0, 465), (812, 1115)]),
        ({"threshold": 1}, [(0, 465), (812, 1115)]),
    ],
)
def test_the_configuration_decides_what_is_reported(
    api: Api, config: dict[str, Any], expected: list[tuple[int, int]]
) -> None:
    """Loud in frames 0–10, 20–40 and 70–96, each of 11.61 ms: the gaps are 116.1 and 348.3 ms."""
    job_id = api.make_job(**config)
    file_id = api.send(job_id, loud_wav(120, [(0, 10), (20, 40), (70, 96)]))
    file = api.finished_file(job_id, file_id)
    assert [(d["start_ms"], d["end_ms"]) for d in file["detections"]] == expected
    assert {d["confidence"] for d in file["detections"]} == {1.0}


def test_jobs_are_listed_newest_first_in_pages(appliance: Appliance) -> None:
    api = appliance.api_of("pages", "pages")
    empty = api.get(JOBS)
    assert (empty["inference_jobs"], empty["next_cursor"]) == ([], None)
    job_ids = [api.make_job() for _ in range(7)][::-1]
    assert [job["id"] for job in api.get(JOBS)["inference_jobs"]] == job_ids
    seen: list[str] = []
    cursor = None
    for expected in (3, 3, 1):
        page = api.get(JOBS, params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        assert len(page["inference_jobs"]) == expected
        api.make_job()  # a job created between two pages neither shifts them nor appears twice
        seen += [job["id"] for job in page["inference_jobs"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == (job_ids, None)
    assert api.get(JOBS, params={"limit": 10})["next_cursor"] is None  # ten jobs: this page is full and it is the last


def test_a_listed_job_is_the_job_without_its_files(api: Api) -> None:
    job = api.job(api.make_job())
    listed = api.get(JOBS)["inference_jobs"][0]
    assert listed == {name: value for name, value in job.items() if not name.startswith("files")}


def test_a_list_has_50_jobs_by_default(appliance: Appliance) -> None:
    api = appliance.api_of("fifty", "fifty")
    for _ in range(51):
        api.make_job()
    page = api.get(JOBS)
    assert len(page["inference_jobs"]) == 50
    assert page["next_cursor"]
    assert len(api.get(JOBS, params={"limit": 200})["inference_jobs"]) == 51


def test_jobs_are_filtered_by_model_and_status(appliance: Appliance) -> None:
    api = appliance.api_of("filters", "filters")
    newest = api.make_job("loud-frames")
    old = api.make_job("loud-frames@0.9.0")
    windows = api.make_job("loud-windows")
    api.send(windows, loud_wav())
    api.finished_job(windows)
    cancelled = api.make_job("loud-frames")
    api.cancel(cancelled)

    def listed(**params: str) -> list[str]:
        return [job["id"] for job in api.get(JOBS, params=params)["inference_jobs"]]

    assert listed(model_id="loud-frames") == [cancelled, old, newest]
    assert listed(model_id="loud-frames@0.9.0") == [old]
    assert listed(model_id="loud-frames@1.0.0") == [cancelled, newest]
    assert listed(model_id="nothing") == []
    assert listed(status="completed") == [windows]
    assert listed(status="cancelled") == [cancelled]
    assert listed(status="pending") == [old, newest]
    assert listed(status="failed") == listed(status="processing") == []
    assert listed(status="pending", model_id="loud-frames@1.0.0") == [newest]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"status": "done"}, "status"),
        ({"status": ""}, "status"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "YmVmb3JlOg=="}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"state": "failed"}, "state"),
    ],
)
def test_a_wrong_query_is_a_400_that_names_the_field(api: Api, params: dict[str, Any], field: str) -> None:
    assert field in api.get(JOBS, 400, params=params)["detail"]


@pytest.mark.parametrize("limit", [1, 200])
def test_the_smallest_and_the_largest_limit_are_allowed(api: Api, limit: int) -> None:
    api.make_job()
    assert 1 <= len(api.get(JOBS, params={"limit": limit})["inference_jobs"]) <= limit


def test_a_job_without_files_is_cancelled_once_and_for_all(api: Api) -> None:
    job_id = api.make_job()
    first = api.cancel(job_id)
    assert (first["status"], first["files"]) == ("cancelled", [])
    assert api.cancel(job_id) == first == api.job(job_id)


def test_a_cancelled_job_accepts_no_files_and_no_confirms(api: Api) -> None:
    job_id = api.make_job()
    file_id = api.upload(job_id, loud_wav())
    job = api.cancel(job_id)
    assert (job["status"], job["total_files"], job["processed_files"]) == ("cancelled", 1, 1)
    assert job["files"][0]["status"] == "cancelled"
    assert api.confirm(job_id, file_id, 409)["code"] == "job_cancelled"
    assert api.request_upload(job_id, 100, status=409)["code"] == "job_cancelled"
    assert api.job(job_id) == job


def test_a_completed_job_stays_as_it_is_when_it_is_cancelled(api: Api) -> None:
    job_id = api.make_job()
    api.send(job_id, loud_wav())
    ended = api.finished_job(job_id)
    assert ended["status"] == "completed"
    assert api.cancel(job_id) == ended
    assert api.confirm(job_id, ended["files"][0]["file_id"])["status"] == "queued"
    assert api.job(job_id) == ended


def test_a_failed_job_stays_as_it_is_when_it_is_cancelled(api: Api) -> None:
    job_id = api.make_job()
    api.send(job_id, b"this is text")
    ended = api.finished_job(job_id)
    assert ended["status"] == "failed"
    assert ended["error_message"]
    assert api.cancel(job_id) == ended


def test_a_job_leaves_completed_when_a_file_is_added(api: Api) -> None:
    job_id = api.make_job()
    api.send(job_id, loud_wav())
    assert api.finished_job(job_id)["status"] == "completed"
    file_id = api.upload(job_id, loud_wav())
    job = api.job(job_id)
    assert (job["status"], job["total_files"], job["processed_files"]) == ("processing", 2, 1)
    api.confirm(job_id, file_id)
    job = api.finished_job(job_id)
    assert (job["status"], job["total_files"], job["processed_files"]) == ("completed", 2, 2)


def test_cancelling_keeps_finished_files(api: Api) -> None:
    job_id = api.make_job()
    completed = api.send(job_id, loud_wav())
    api.finished_job(job_id)
    unconfirmed = api.upload(job_id, loud_wav())
    job = api.cancel(job_id)
    statuses = {file["id"]: (file["status"], file["detection_count"]) for file in job["files"]}
    assert statuses == {completed: ("completed", 1), unconfirmed: ("cancelled", 0)}
    assert (job["status"], job["processed_files"], job["total_files"]) == ("cancelled", 2, 2)
    assert api.file(job_id, completed)["detection_count"] == 1


def test_a_job_fails_only_when_every_file_failed(api: Api) -> None:
    job_id = api.make_job()
    bad = [api.send(job_id, content) for content in (b"text", b"more text")]
    job = api.finished_job(job_id)
    assert (job["status"], job["processed_files"]) == ("failed", 2)
    assert "2 files" in job["error_message"]
    api.send(job_id, loud_wav())
    job = api.finished_job(job_id)
    assert (job["status"], job["error_message"]) == ("completed", None)
    assert [file["status"] for file in job["files"]] == ["failed", "failed", "completed"]
    assert [file["id"] for file in job["files"]][:2] == bad


@pytest.mark.parametrize("job_id", ["nothing", "00000000-0000-0000-0000-000000000000", "1", "%F0%9F%98%80", "'"])
def test_an_unknown_job_id_is_a_404_everywhere(api: Api, job_id: str) -> None:
    assert api.get(f"{JOBS}/{job_id}", 404)["code"] == "not_found"
    api.cancel(job_id, 404)
    api.request_upload(job_id, 100, status=404)
    api.confirm(job_id, "x", 404)
    api.get(f"{JOBS}/{job_id}/files/x", 404)
    api.get(f"{JOBS}/{job_id}/files/x/download-url", 404)


def test_another_tenants_job_is_a_404_everywhere_and_unlisted(api: Api, other: Api) -> None:
    job_id = api.make_job()
    file_id = api.send(job_id, loud_wav())
    before = api.finished_job(job_id)
    theirs = other.make_job()
    other.get(f"{JOBS}/{job_id}", 404)
    other.cancel(job_id, 404)
    other.request_upload(job_id, 100, status=404)
    other.confirm(job_id, file_id, 404)
    other.confirm(theirs, file_id, 404)
    for job in (job_id, theirs):
        other.get(f"{JOBS}/{job}/files/{file_id}", 404)
        other.get(f"{JOBS}/{job}/files/{file_id}/download-url", 404)
    assert job_id not in json.dumps(other.get(JOBS, params={"limit": 200}))
    assert theirs not in json.dumps(api.get(JOBS, params={"limit": 200}))
    assert api.job(job_id) == before


def test_jobs_and_files_are_searched_by_text(api: Api, other: Api) -> None:
    job_id = api.make_job()
    api.upload(job_id, loud_wav(), name="Matins 100%_A.wav")
    api.upload(job_id, loud_wav(), name="vespers.wav")
    for text in (job_id[3:20], "matins 100%_a", "VESPERS"):
        assert [job["id"] for job in api.get("/api/v1/inference-jobs", params={"q": text})["items"]] == [job_id]
        assert other.get("/api/v1/inference-jobs", params={"q": text})["items"] == []
    assert api.get("/api/v1/inference-jobs", params={"q": "vespers", "page": 1})["total"] == 1
    assert api.get("/api/v1/inference-jobs", params={"q": "compline"})["items"] == []
    files = api.get(f"/api/v1/inference-jobs/{job_id}/files", params={"q": "s.WAV"})["files"]
    assert [file["original_filename"] for file in files] == ["vespers.wav"]
    assert "q" in api.get("/api/v1/inference-jobs", 400, params={"q": ""})["detail"]
