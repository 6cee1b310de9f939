"""What training learns from: decisions about detections, and stretches that are worth listening to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.contract.test_annotation_sets import add_audio, new_dataset
from tests.contract.test_reviews import JOBS, NO_MERGING, Job, steps_wav
from tests.support.appliances import Api
from tests.support.encoded_files import wav
from tests.support.toy_recordings import RATE_HZ

STRETCH_SECONDS = 6


def levels_wav(levels: list[float]) -> bytes:
    """A constant level for each stretch of six seconds, of which the toy model makes a score five times as high."""
    return wav(np.repeat(np.array(levels, np.float32), STRETCH_SECONDS * RATE_HZ), RATE_HZ)


def test_what_was_decided_about_detections_is_learned_once(api: Api) -> None:
    levels = [0.08, 0.1, 0.12, 0.14]
    job, dataset = Job(api, levels, [0.2]), new_dataset(api)
    audio = f"{dataset}/audio/{add_audio(api, dataset, steps_wav(levels), 'take 0.wav')}"
    spans = [{key: d[key] for key in ("start_ms", "end_ms")} for d in job.detections()]
    job.review(0, "rejected")
    job.review(1, "confirmed")
    job.review(2, "confirmed", reviewed_type="hum")
    job.review(0, "confirmed", file=1)
    path, body = f"{dataset}/annotations/from-reviews", {"job_id": job.id}
    counts = {"created": 4, "already_present": 0, "undefined": 0, "unmatched_file_ids": [job.files[1]]}
    assert api.post(path, body, 201) == counts
    assert api.post(path, body, 201) == counts | {"created": 0, "already_present": 4}
    said = [
        (a["artifact_type"], a["presence"], {"start_ms": a["start_ms"], "end_ms": a["end_ms"]})
        for a in api.get(f"{audio}/annotations")["annotations"]
    ]
    assert sorted(said, key=repr) == sorted(
        [
            ("loud", "absent", spans[0]),
            ("loud", "present", spans[1]),
            ("loud", "absent", spans[2]),
            ("hum", "present", spans[2]),
        ],
        key=repr,
    )
    job.review(1, "rejected")  # the reviewer changes her mind
    problem = api.post(path, body, 422)
    assert problem["code"] == "annotation_refused"
    assert audio.rpartition("/")[2] in problem["detail"]


def test_types_that_the_dataset_does_not_define_are_left_out(api: Api) -> None:
    job = Job(api, [0.1])
    job.review(0, "confirmed")
    body = {"name": "t", "artifact_types": [{"name": "hum"}]}
    dataset = f"/api/v1/datasets/{api.post('/api/v1/datasets', body, 201)['id']}"
    add_audio(api, dataset, steps_wav([0.1]), "take 0.wav")
    learned = api.post(f"{dataset}/annotations/from-reviews", {"job_id": job.id}, 201)
    assert (learned["created"], learned["undefined"]) == (0, 1)


@pytest.fixture(scope="module")
def heard(appliance: Any) -> tuple[str, str, dict[str, str]]:
    """A dataset, a job that scored its recordings, and the ids of the audio by name."""
    api, dataset = appliance.api, new_dataset(appliance.api)
    job_id = api.make_job(**NO_MERGING)
    audio = {}
    for name, levels in (("a.wav", [0.19, 0.18, 0.17, 0.0]), ("b.wav", [0.15, 0.11, 0.0])):
        content = levels_wav(levels)
        api.send(job_id, content, name=name)
        audio[name] = add_audio(api, dataset, content, name)
    api.finished_job(job_id)
    return dataset, job_id, audio


def test_stretches_to_listen_to_are_half_the_surest_and_half_the_least_sure(
    api: Api, heard: tuple[str, str, dict[str, str]]
) -> None:
    """The surest of each recording come first, although the two surest of all are in the same recording."""
    dataset, job_id, audio = heard
    query = {"job_id": job_id, "label": "loud", "k": 4}
    suggestions = api.get(f"{dataset}/suggestions", params=query)["suggestions"]
    assert [(s["audio_id"], s["start_ms"], s["end_ms"], s["reason"]) for s in suggestions] == [
        (audio["a.wav"], 0, 6000, "surest"),
        (audio["b.wav"], 0, 6000, "surest"),
        (audio["b.wav"], 6000, 12_000, "least_sure"),
        (audio["a.wav"], 12_000, 18_000, "least_sure"),
    ]
    assert [s["confidence"] for s in suggestions] == pytest.approx([0.95, 0.75, 0.55, 0.85], abs=0.01)
    api.post(f"{dataset}/audio/{audio['a.wav']}/reviews", {"labels": ["loud"]}, 201)
    left = api.get(f"{dataset}/suggestions", params=query | {"k": 100})["suggestions"]
    assert {s["audio_id"] for s in left} == {audio["b.wav"]}
    assert len(left) == 3


def test_two_models_are_compared_with_what_people_annotated(api: Api, other: Api) -> None:
    """The other version hears less: of two events it finds one. Nobody listened to the last false alarm."""
    levels = [0.12, 0.2, 0.12, 0.2]
    dataset, first, second = new_dataset(api), Job(api, levels), api.make_job(threshold=0.8, merge_window_ms=0)
    api.send(second, steps_wav(levels), name="take 0.wav")
    api.finished_job(second)
    audio = f"{dataset}/audio/{add_audio(api, dataset, steps_wav(levels), 'take 0.wav')}"
    spans = [{key: d[key] for key in ("start_ms", "end_ms")} for d in first.detections()]
    for span in spans[:2]:
        api.post(f"{audio}/annotations", {"artifact_type": "loud"} | span, 201)
    api.post(f"{audio}/reviews", {"labels": ["loud"], "end_ms": spans[2]["end_ms"]}, 201)
    path = f"{dataset}/evaluation"
    both = api.get(path, params={"job_id": first.id, "with": second})
    assert (both["recordings"], both["learned_from"]) == (1, 0)
    (row,) = both["labels"]
    counts = [[job[key] for key in ("hits", "misses", "false_alarms")] for job in row["jobs"]]
    assert (row["label"], counts) == ("loud", [[2, 0, 1], [1, 1, 0]])
    assert row["jobs"][0]["false_alarms_per_hour"] > 0
    # One recording is drawn again and again, so that the interval has no width.
    assert row["change"]["recall"] == {"value": -0.5, "interval": [-0.5, -0.5]}
    places = [(d["audio_id"], d["start_ms"], d["end_ms"], d["reported_by"], d["truth"]) for d in both["differences"]]
    assert places == [
        (audio.rpartition("/")[2], spans[number]["start_ms"], spans[number]["end_ms"], first.id, truth)
        for number, truth in ((0, "present"), (2, "absent"))
    ]
    few = api.get(path, params={"job_id": first.id, "with": second, "differences": 1})
    assert (few["differences"], few["num_differences"]) == (both["differences"][:1], 2)
    alone = api.get(path, params={"job_id": first.id})
    assert (alone["labels"], alone["differences"]) == ([row | {"jobs": row["jobs"][:1], "change": None}], [])
    assert "job_id" in api.get(path, 400, params={"job_id": api.make_job()})["detail"]
    other.get(path, 404, params={"job_id": first.id})
    api.get(path, 404, params={"job_id": first.id, "with": other.make_job()})


def test_bad_questions_are_refused(api: Api, other: Api, heard: tuple[str, str, dict[str, str]]) -> None:
    dataset, job_id, _ = heard
    path, query = f"{dataset}/suggestions", {"job_id": job_id, "label": "loud"}
    assert "label" in api.get(path, 400, params=query | {"label": "hum"})["detail"]
    assert "k" in api.get(path, 400, params=query | {"k": 0})["detail"]
    assert "job_id" in api.get(f"{new_dataset(api)}/suggestions", 400, params=query)["detail"]
    other.get(path, 404, params=query)
    other.get(f"{new_dataset(other)}/suggestions", 404, params=query)
    api.post(f"{dataset}/annotations/from-reviews", {"job_id": other.make_job()}, 404)
    unscored = api.make_job()
    assert api.get(f"{JOBS}/{unscored}")["total_files"] == 0
    assert "job_id" in api.get(path, 400, params=query | {"job_id": unscored})["detail"]
