"""Two jobs side by side, and what people confirmed in a job as annotations of a dataset."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.test_annotation_sets import add_audio, create_set, new_dataset
from tests.contract.test_reviews import JOBS, Job, steps_wav
from tests.support.appliances import Api


def test_what_one_model_reported_and_the_other_did_not(api: Api) -> None:
    """The other version has another threshold, and the files were sent in another order under other names."""
    job = Job(api, [0.08, 0.12], [0.12])
    other = api.make_job("loud-frames@0.9.0", threshold=0.5, merge_window_ms=0)
    api.send(other, steps_wav([0.12]), name="b.wav")
    first = api.send(other, steps_wav([0.08, 0.12]), name="a.wav")
    api.finished_job(other)
    page = api.get(f"{job.path}/compare", params={"with": other, "limit": 1})
    (file,) = page["files"]
    assert (file["file_id"], file["other_file_id"]) == (job.files[0], first)
    assert [d["matched"] for d in file["here"]] == [False, True]
    assert [d["matched"] for d in file["there"]] == [True]
    assert page["types"] == [{"artifact_type": "loud", "both": 1, "only_here": 1, "only_there": 0}]
    rest = api.get(f"{job.path}/compare", params={"with": other, "cursor": page["next_cursor"]})
    assert [f["file_id"] for f in rest["files"]] == [job.files[1]]
    assert rest["next_cursor"] is None
    back = api.get(f"{JOBS}/{other}/compare", params={"with": job.id})
    assert back["types"] == [{"artifact_type": "loud", "both": 2, "only_here": 0, "only_there": 1}]


def test_a_recording_that_only_one_job_has_is_shown_alone(api: Api) -> None:
    job, other = Job(api, [0.12]), Job(api, [0.13, 0.14])
    page = api.get(f"{job.path}/compare", params={"with": other.id})
    assert page["files"][0]["other_file_id"] is None
    assert page["types"] == []


def test_a_bad_comparison_is_refused(api: Api, other: Api) -> None:
    job_id = api.make_job()
    path = f"{JOBS}/{job_id}/compare"
    assert "with" in api.get(path, 400)["detail"]
    assert "with" in api.get(path, 400, params={"with": job_id})["detail"]
    assert "with" in api.get(path, 404, params={"with": other.make_job()})["detail"]
    assert "tolerance_ms" in api.get(path, 400, params={"with": "x", "tolerance_ms": -1})["detail"]


@pytest.fixture(scope="module")
def reviewed(appliance: Any) -> Job:
    """One file with a rejected, a relabelled and an undecided detection."""
    job = Job(appliance.api, [0.08, 0.1, 0.12])
    job.review(0, "rejected")
    job.review(1, "confirmed", reviewed_type="hum")
    return job


def test_confirmed_reviews_become_annotations_once(api: Api, reviewed: Job) -> None:
    dataset = new_dataset(api)
    audio_id = add_audio(api, dataset, steps_wav([0.08, 0.1, 0.12]), "take 0.wav")
    drafted = create_set(api, dataset)["id"]
    path = f"{dataset}/annotation-sets/{drafted}/annotations"
    added = {"created": 1, "already_present": 0, "unmatched_file_ids": []}
    assert api.post(f"{path}/from-reviews", {"job_id": reviewed.id}, 201) == added
    again = {"created": 0, "already_present": 1, "unmatched_file_ids": []}
    assert api.post(f"{path}/from-reviews", {"job_id": reviewed.id}, 201) == again
    (annotation,) = api.get(path)["items"]
    detection = reviewed.detections()[1]
    assert (annotation["artifact_type"], annotation["audio_file_id"]) == ("hum", audio_id)
    assert (annotation["start_ms"], annotation["end_ms"]) == (detection["start_ms"], detection["end_ms"])


def test_a_recording_under_another_name_is_named_by_the_client(api: Api, reviewed: Job) -> None:
    dataset = new_dataset(api)
    audio_id = add_audio(api, dataset, steps_wav([0.08, 0.1, 0.12]))
    path = f"{dataset}/annotation-sets/{create_set(api, dataset)['id']}/annotations/from-reviews"
    nothing = api.post(path, {"job_id": reviewed.id}, 201)
    assert nothing == {"created": 0, "already_present": 0, "unmatched_file_ids": reviewed.files}
    pair = {"file_id": reviewed.files[0], "audio_file_id": audio_id}
    assert api.post(path, {"job_id": reviewed.id, "recordings": [pair]}, 201)["created"] == 1
    api.post(path, {"job_id": reviewed.id, "recordings": [pair | {"audio_file_id": "x"}]}, 404)
    api.post(path, {"job_id": "nobody"}, 404)
