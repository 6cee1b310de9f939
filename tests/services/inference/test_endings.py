"""The ends of files and jobs, and the events that report them: once, in one transaction, and only with a callback."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.engine.scoring.events import Detection
from appliance.errors import ScoringFailed
from appliance.services.box import Box
from appliance.services.inference import endings, jobs
from appliance.services.inference import work as inference_work
from appliance.services.work import leases
from appliance.state import webhooks as webhook_rows
from tests.support.boxes import CALLBACK, claim, events, new_file, new_job, queued_work


def complete(box: Box, *detections: Detection) -> None:
    inference_work.complete(box, claim(box, "inference"), 1000, detections)


def fail(box: Box) -> None:
    leases.fail(box, claim(box, "inference"), ScoringFailed("No."))


def never_uploaded(box: Box, file_id: str) -> bool:
    with box.db.transaction() as tx:
        return endings.fail_file(tx, file_id, "pending", "not_uploaded", "Never.")


def payloads(box: Box) -> list[dict[str, Any]]:
    """The data of all events, oldest first."""
    deliveries = webhook_rows.list_deliveries(box.db, 1, status=None, before=None, limit=100)
    return [json.loads(delivery.payload)["data"] for delivery in reversed(deliveries)]


def fail_and_break(box: Box, file_id: str) -> None:
    """A transaction that breaks after it failed a file."""
    with box.db.transaction() as tx:
        assert endings.fail_file(tx, file_id, "pending", "not_uploaded", "Never.")
        assert events(box) == ["file.failed", "job.completed"]
        raise RuntimeError


def test_an_event_commits_with_its_cause_or_not_at_all(box: Box) -> None:
    file_id = new_file(box, new_job(box, CALLBACK), confirm=False)
    with pytest.raises(RuntimeError):
        fail_and_break(box, file_id)
    assert (events(box), queued_work(box)) == ([], [])
    assert never_uploaded(box, file_id)
    assert events(box) == ["file.failed", "job.completed"]
    assert [kind for kind, _ in queued_work(box)] == ["webhook", "webhook"]


def test_the_same_end_is_announced_once(box: Box) -> None:
    file_id = new_file(box, new_job(box, CALLBACK), confirm=False)
    assert [never_uploaded(box, file_id) for _ in range(3)] == [True, False, False]
    assert events(box) == ["file.failed", "job.completed"]


def test_a_job_ends_with_its_last_file_whatever_became_of_the_others(box: Box) -> None:
    job_id = new_job(box, CALLBACK)
    new_file(box, job_id)
    new_file(box, job_id)
    pending = new_file(box, job_id, confirm=False)
    fail(box)
    complete(box)
    assert events(box) == ["file.failed", "file.completed"]
    never_uploaded(box, pending)
    assert events(box)[2:] == ["file.failed", "job.completed"]
    assert (payloads(box)[-1]["status"], payloads(box)[-1]["processed_files"]) == ("completed", 3)


def test_the_end_of_a_job_says_that_all_files_failed(box: Box) -> None:
    job_id = new_job(box, CALLBACK)
    new_file(box, job_id)
    fail(box)
    assert (
        payloads(box)[-1].items()
        >= {
            "job_id": job_id,
            "model_id": "loud-frames",
            "model_version": "1.0.0",
            "status": "failed",
            "total_files": 1,
            "processed_files": 1,
        }.items()
    )


def test_a_job_that_takes_another_file_ends_again(box: Box) -> None:
    job_id = new_job(box, CALLBACK)
    for _ in range(2):
        new_file(box, job_id)
        complete(box)
    assert events(box) == ["file.completed", "job.completed"] * 2


def test_a_cancelled_job_is_announced_and_its_files_are_not(box: Box) -> None:
    job_id = new_job(box, CALLBACK)
    new_file(box, job_id)
    jobs.cancel_job(box, 1, job_id)
    assert events(box) == ["job.completed"]
    assert payloads(box)[0]["status"] == "cancelled"


def test_a_completed_file_is_announced_with_its_detections(box: Box) -> None:
    job_id = new_job(box, CALLBACK)
    file_id = new_file(box, job_id)
    complete(box, Detection("loud", 1, 2, 0.5))
    assert payloads(box)[0] == {
        "job_id": job_id,
        "file_id": file_id,
        "original_filename": "a.wav",
        "status": "completed",
        "duration_ms": 1000,
        "verdict": None,
        "verdict_reasons": [],
        "detection_count": 1,
        "detections_truncated": False,
        "detections": [{"artifact_type": "loud", "start_ms": 1, "end_ms": 2, "confidence": 0.5, "source": "model"}],
    }


def test_a_failed_file_is_announced_with_its_reason(box: Box) -> None:
    new_file(box, new_job(box, CALLBACK))
    fail(box)
    data = payloads(box)[0]
    assert (data["status"], data["error_code"], data["error_message"]) == ("failed", "scoring_failed", "No.")
    assert "detections" not in data


def test_without_a_callback_nothing_is_announced(box: Box) -> None:
    job_id = new_job(box)
    new_file(box, job_id)
    pending = new_file(box, job_id, confirm=False)
    complete(box)
    never_uploaded(box, pending)
    jobs.cancel_job(box, 1, new_job(box))
    assert (events(box), queued_work(box)) == ([], [])
