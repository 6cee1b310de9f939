"""Answers and results stay within bounds, however much a model finds."""

from __future__ import annotations

import pytest

from appliance.engine.scoring.events import Detection
from appliance.services.box import Box
from appliance.services.inference import files, jobs
from appliance.services.inference import work as inference_work
from appliance.services.inference.jobs import FileReport
from tests.support.boxes import claim, new_file, new_job


def completed_file(box: Box, job_id: str, detections: list[Detection]) -> FileReport:
    file_id = new_file(box, job_id)
    inference_work.complete(box, claim(box, "inference"), 1_000_000, detections)
    return files.get_file(box, 1, job_id, file_id)


def test_of_too_many_detections_the_strongest_are_kept_in_order(box: Box) -> None:
    most = inference_work.MAX_DETECTIONS
    weak, strong = (
        [Detection("loud", 2 * n + late, 2 * n + late + 1, confidence) for n in range(most // 2 + 1)]
        for late, confidence in ((0, 0.5), (1, 0.9))
    )
    found = sorted([*weak, *strong], key=lambda detection: detection.start_ms)
    job_id = new_job(box)
    cut = completed_file(box, job_id, found)
    assert (len(cut.detections), cut.file.num_detections, cut.file.detections_truncated) == (most, most, True)
    starts = [detection.start_ms for detection in cut.detections]
    assert starts == sorted(starts)
    assert sum(detection.confidence == 0.9 for detection in cut.detections) == len(strong)
    whole = completed_file(box, job_id, found[:most])
    assert (len(whole.detections), whole.file.detections_truncated) == (most, False)


def test_the_answer_of_a_job_ends_where_pages_of_files_go_on(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_FILES", 3)
    monkeypatch.setattr(jobs, "MAX_LISTED", 5)
    job_id = new_job(box)
    all_ids = [
        completed_file(box, job_id, [Detection("loud", n, n + 1, 0.5) for n in range(count)]).file.id
        for count in (2, 3, 1, 7, 0, 0, 0, 0)
    ]
    report = jobs.get_job(box, 1, job_id)
    pages, after = [[file.file.id for file in report.files]], report.files_end
    while after is not None:
        page, after = files.list_files(box, 1, job_id, status=None, after=after, limit=100)
        pages.append([file.file.id for file in page])
    assert [len(page) for page in pages] == [2, 1, 1, 4]
    assert [file_id for page in pages for file_id in page] == all_ids
