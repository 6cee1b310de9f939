"""The work on a file: what a worker gets to read, and what it may write."""

from __future__ import annotations

import pytest

from appliance.engine.scoring.events import Detection, DetectionConfig
from appliance.errors import LeaseLost, SubjectGone, UnexpectedStatus
from appliance.services.box import Box
from appliance.services.inference import jobs
from appliance.services.inference import work as inference_work
from appliance.state import inference_files
from tests.support.boxes import CALLBACK, claim, lose_lease, new_file, new_job, snapshot

DETECTIONS = [Detection("loud", 1, 2, 0.5)]


def test_a_task_names_the_file_the_version_and_the_clients_own_choices(box: Box) -> None:
    job_id = jobs.create_job(box, 1, "loud-frames@0.9.0", DetectionConfig(min_duration_ms=7)).job.id
    file_id = new_file(box, job_id)
    task = inference_work.load_task(box, claim(box))
    assert (task.file.id, task.file.status, task.model) == (file_id, "processing", "loud-frames@0.9.0")
    assert task.config == DetectionConfig(min_duration_ms=7)


def test_the_task_of_a_deleted_file_is_gone(box: Box) -> None:
    file_id = new_file(box, new_job(box))
    work = claim(box)
    with box.db.transaction() as tx:
        tx.change("DELETE FROM inference_files WHERE id = ?", [file_id])
    with pytest.raises(SubjectGone):
        inference_work.load_task(box, work)


def test_without_the_lease_nothing_is_written(box: Box) -> None:
    new_file(box, new_job(box, CALLBACK))
    work = claim(box)
    lose_lease(box, work)
    before = snapshot(box)
    with pytest.raises(LeaseLost):
        inference_work.complete(box, work, 1000, DETECTIONS)
    assert snapshot(box) == before


def test_in_another_status_nothing_is_written(box: Box) -> None:
    file_id = new_file(box, new_job(box, CALLBACK))
    work = claim(box)
    with box.db.transaction() as tx:
        inference_files.mark_released(tx, file_id)
    before = snapshot(box)
    with pytest.raises(UnexpectedStatus):
        inference_work.complete(box, work, 1000, DETECTIONS)
    assert snapshot(box) == before
