"""Inference jobs: which are created, how they are listed, what a cancellation leaves."""

from __future__ import annotations

import pytest

from appliance.engine.scoring.events import Detection, DetectionConfig
from appliance.errors import InvalidRequest, NotFound, ScoringFailed
from appliance.services.box import Box
from appliance.services.inference import jobs
from appliance.services.inference import work as inference_work
from appliance.services.work import leases
from tests.support.boxes import CALLBACK, SPEECH_MODEL, claim, events, new_file, new_job, queued_work


def page(
    box: Box, *, model_id: str | None = None, status: str | None = None, before: int | None = None, limit: int = 10
) -> tuple[list[str], int | None]:
    """The ids of a page of the tenant 1's jobs, and where the next page starts."""
    reports, next_before = jobs.list_jobs(box, 1, model_id=model_id, status=status, before=before, limit=limit)
    return [report.job.id for report in reports], next_before


def status_of(box: Box, job_id: str) -> str:
    return jobs.find_job(box, 1, job_id).status


@pytest.mark.parametrize(("model_id", "version"), [("loud-frames", "1.0.0"), ("loud-frames@0.9.0", "0.9.0")])
def test_a_job_keeps_the_version_that_its_model_has_now(box: Box, model_id: str, version: str) -> None:
    job = jobs.create_job(box, 1, model_id, DetectionConfig()).job
    assert (job.model_id, job.model_version) == (model_id, version)
    assert jobs.find_settings(box, 1, job.id).model == f"loud-frames@{version}"


def test_a_job_begins_without_files_and_with_the_defaults_of_its_model(box: Box) -> None:
    report = jobs.create_job(box, 1, "loud-frames", DetectionConfig(threshold=0.25))
    defaults = box.models.resolve("loud-frames").manifest.model_dump()["defaults"]
    assert (report.job.status, report.job.total_files, report.files) == ("pending", 0, [])
    assert report.job.config == defaults | {"threshold": 0.25}
    assert jobs.find_settings(box, 1, report.job.id).client_config == {"threshold": 0.25}


@pytest.mark.parametrize(
    ("model_id", "callback_url", "message"),
    [
        ("none", None, "model_id: There is no model 'none'"),
        ("loud-frames@9", None, "model_id: There is no model 'loud-frames@9'"),
        (SPEECH_MODEL, None, f"model_id: {SPEECH_MODEL}@.* is for transcription, not for detection"),
        ("loud-frames", "ftp://127.0.0.1/a", "callback_url: Must begin with http"),
        ("loud-frames", "http://10.0.0.1/a", "callback_url: The address 10.0.0.1"),
        ("loud-frames", "http://127.0.0.1:8080/a", "callback_url: Port 8080"),
    ],
)
def test_a_refused_job_is_not_stored(box: Box, model_id: str, callback_url: str | None, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        jobs.create_job(box, 1, model_id, DetectionConfig(), callback_url)
    assert page(box) == ([], None)


def test_the_job_of_another_tenant_is_not_found(box: Box) -> None:
    job_id = new_job(box)
    for call in (jobs.get_job, jobs.find_job, jobs.find_settings, jobs.cancel_job):
        with pytest.raises(NotFound):
            call(box, 2, job_id)
    assert jobs.list_jobs(box, 2, model_id=None, status=None, before=None, limit=10) == ([], None)
    assert status_of(box, job_id) == "pending"


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6])
def test_pages_hold_every_job_once_and_the_newest_first(box: Box, limit: int) -> None:
    job_ids = [new_job(box) for _ in range(5)]
    pages, before = [], None
    while True:
        part, before = page(box, before=before, limit=limit)
        pages.append(part)
        if before is None:
            break
    assert [len(part) for part in pages[:-1]] == [limit] * (len(pages) - 1)
    assert [job_id for part in pages for job_id in part] == job_ids[::-1]


def test_jobs_are_listed_by_model_and_by_version(box: Box) -> None:
    names = ("loud-frames", "loud-frames@0.9.0", "loud-windows")
    new, old, other = (jobs.create_job(box, 1, name, DetectionConfig()).job.id for name in names)
    assert page(box, model_id="loud-frames") == ([old, new], None)
    assert page(box, model_id="loud-frames@1.0.0") == ([new], None)
    assert page(box, model_id="loud-frames@0.9.0") == ([old], None)
    assert page(box, model_id="loud-windows") == ([other], None)
    assert page(box, model_id="none") == ([], None)


def test_jobs_are_listed_by_the_status_that_their_files_give_them(box: Box) -> None:
    expected = {}
    for status in ("completed", "failed", "processing", "pending", "cancelled"):
        expected[status] = job_id = new_job(box)
        new_file(box, job_id, confirm=status not in ("pending", "cancelled"))
        if status == "completed":
            inference_work.complete(box, claim(box), 1000, [])
        if status == "failed":
            leases.fail(box, claim(box), ScoringFailed("No."))
    jobs.cancel_job(box, 1, expected["cancelled"])
    assert {status: page(box, status=status)[0] for status in expected} == {s: [i] for s, i in expected.items()}


def test_a_job_counts_its_files_and_keeps_their_order(box: Box) -> None:
    job_id = new_job(box)
    file_ids = [new_file(box, job_id) for _ in range(3)]
    inference_work.complete(box, claim(box), 1000, [Detection("loud", 1, 2, 0.5)])
    report = jobs.get_job(box, 1, job_id)
    assert [file.file.id for file in report.files] == file_ids
    assert (report.job.status, report.job.total_files, report.job.processed_files) == ("processing", 3, 1)
    assert [len(file.detections) for file in report.files] == [1, 0, 0]


def test_a_failed_job_says_why(box: Box) -> None:
    job_id = new_job(box)
    for number in (1, 2):
        new_file(box, job_id)
        assert jobs.get_job(box, 1, job_id).error_message is None
        leases.fail(box, claim(box), ScoringFailed(f"Reason {number}."))
        which = "The file" if number == 1 else "All 2 files"
        assert jobs.get_job(box, 1, job_id).error_message == f"{which} failed: Reason 1."


def test_a_job_with_one_good_file_is_completed(box: Box) -> None:
    job_id = new_job(box)
    new_file(box, job_id)
    new_file(box, job_id)
    leases.fail(box, claim(box), ScoringFailed("No."))
    inference_work.complete(box, claim(box), 1000, [])
    report = jobs.get_job(box, 1, job_id)
    assert (report.job.status, report.error_message) == ("completed", None)


def test_a_cancellation_ends_the_open_files_and_removes_their_work(box: Box) -> None:
    job_id, other = new_job(box), new_job(box)
    for _ in range(3):
        new_file(box, job_id)
    new_file(box, job_id, confirm=False)
    inference_work.complete(box, claim(box), 1000, [])
    leases.fail(box, claim(box), ScoringFailed("No."))
    claim(box)
    kept = new_file(box, other)
    report = jobs.cancel_job(box, 1, job_id)
    assert report.job.status == "cancelled"
    assert [file.file.status for file in report.files] == ["completed", "failed", "cancelled", "cancelled"]
    assert queued_work(box) == [("inference", kept)]


def test_a_job_at_its_end_stays_as_it_is(box: Box) -> None:
    job_id = new_job(box, CALLBACK)
    new_file(box, job_id)
    inference_work.complete(box, claim(box, "inference"), 1000, [])
    announced = events(box)
    assert jobs.cancel_job(box, 1, job_id).job.status == "completed"
    assert events(box) == announced


def test_a_second_cancellation_changes_nothing(box: Box) -> None:
    job_id = new_job(box, CALLBACK)
    new_file(box, job_id)
    first = jobs.cancel_job(box, 1, job_id)
    assert jobs.cancel_job(box, 1, job_id) == first
    assert events(box) == ["job.completed"]
