"""Reviews: decide, undo, the queue, what survives a detection again, and the model's precision by what was decided."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support.appliances import Api
from tests.support.encoded_files import wav
from tests.support.toy_recordings import RATE_HZ, loud_frames

JOBS = "/api/v1/inference-jobs"
NO_MERGING: dict[str, Any] = {"threshold": 0.3, "merge_window_ms": 0, "min_duration_ms": 0}


def steps_wav(levels: list[float]) -> bytes:
    """A stretch of 40 loud frames for each level, each followed by 40 silent ones."""
    samples = loud_frames(80 * len(levels), [(80 * i, 80 * i + 40) for i in range(len(levels))])
    for number, level in enumerate(levels):
        samples[80 * 256 * number : (80 * number + 40) * 256] = level
    return wav(samples, RATE_HZ)


class Job:
    """A job whose files have one detection for each level."""

    def __init__(self, api: Api, *files: list[float]) -> None:
        self.api = api
        self.id = api.make_job(**NO_MERGING)
        self.path = f"{JOBS}/{self.id}"
        self.files = [api.send(self.id, steps_wav(levels), name=f"take {i}.wav") for i, levels in enumerate(files)]
        api.finished_job(self.id)

    def detections(self, file: int = 0) -> list[dict[str, Any]]:
        return self.api.file(self.id, self.files[file])["detections"]

    def review(self, place: int, verdict: str, file: int = 0, status: int = 200, **more: Any) -> Any:
        """Review a detection. Returns the review, whose id is its place."""
        span = {key: self.detections(file)[place][key] for key in ("artifact_type", "start_ms", "end_ms")}
        path = f"{self.path}/files/{self.files[file]}/reviews/r{place}"
        return self.api.call("PUT", path, status, json=span | {"verdict": verdict} | more)

    def queue(self, **query: Any) -> Any:
        return self.api.get(f"{self.path}/review-queue", params=query)


@pytest.fixture(scope="module")
def job(appliance: Any) -> Job:
    """A job that tests only read: five detections in two files, two of them decided."""
    job = Job(appliance.api, [0.08, 0.1, 0.12], [0.09, 0.11])
    assert [len(job.detections(0)), len(job.detections(1))] == [3, 2]
    job.review(0, "rejected")
    job.review(2, "confirmed", reviewed_type="hum")
    return job


def test_a_review_is_stored_under_the_clients_id_and_can_be_undone(api: Api) -> None:
    job = Job(api, [0.1, 0.2])
    etag = api.response("GET", job.path).headers["ETag"]
    stored = job.review(0, "confirmed", comment="a good one")
    assert (stored["id"], stored["verdict"], stored["comment"]) == ("r0", "confirmed", "a good one")
    assert api.response("GET", job.path).headers["ETag"] != etag
    changed = job.review(0, "rejected")
    assert changed["created_at"] == stored["created_at"]
    path = f"{job.path}/files/{job.files[0]}/reviews"
    assert api.get(path)["reviews"] == [changed]
    assert [item["review"] for item in job.queue()["items"]] == [changed, None]
    assert api.response("DELETE", f"{path}/r0").status_code == 204
    api.call("DELETE", f"{path}/r0", 404)
    assert [item["review"] for item in job.queue()["items"]] == [None, None]


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ({}, ["0.0", "0.1", "0.2", "1.0", "1.1"]),
        ({"order": "highest"}, ["0.2", "1.1", "0.1", "1.0", "0.0"]),
        ({"order": "lowest"}, ["0.0", "1.0", "0.1", "1.1", "0.2"]),
        ({"state": "unreviewed"}, ["0.1", "1.0", "1.1"]),
        ({"state": "reviewed"}, ["0.0", "0.2"]),
        ({"state": "rejected"}, ["0.0"]),
        ({"state": "relabelled"}, ["0.2"]),
        ({"state": "confirmed"}, []),
        ({"type": "hum"}, []),
        ({"min_confidence": 0.45, "max_confidence": 0.55}, ["0.1", "1.0", "1.1"]),
    ],
)
@pytest.mark.parametrize("limit", [2, 50])
def test_the_queue_is_filtered_and_ordered(job: Job, query: dict[str, Any], places: list[str], limit: int) -> None:
    spans = {
        (job.files[file], detection["start_ms"]): f"{file}.{place}"
        for file in (0, 1)
        for place, detection in enumerate(job.detections(file))
    }
    shown: list[str] = []
    cursor = None
    while True:
        page = job.queue(limit=limit, **query | ({"cursor": cursor} if cursor else {}))
        assert page["counts"]["total"] == len(places)
        assert page["progress"] == {
            "total": 5, "unreviewed": 3, "reviewed": 2, "confirmed": 0, "relabelled": 1, "rejected": 1
        }  # fmt: skip
        shown += [spans[item["file_id"], item["detection"]["start_ms"]] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert shown == places


def test_a_cursor_of_another_order_is_refused(job: Job) -> None:
    cursor = job.queue(limit=1)["next_cursor"]
    path = f"{job.path}/review-queue"
    for query in ({"order": "highest", "cursor": cursor}, {"cursor": "x"}, {"cursor": "W251bGxd"}):
        assert "cursor" in job.api.get(path, 400, params=query)["detail"]
    assert "order" in job.api.get(path, 400, params={"order": "random"})["detail"]


def test_reviews_survive_a_detection_again(api: Api) -> None:
    """With another threshold the spans change, join or go; what was decided stays with the stretch."""
    job = Job(api, [0.1, 0.2, 0.1])
    job.review(0, "rejected")
    job.review(1, "confirmed")
    redetect = f"{job.path}/files/{job.files[0]}/redetect"
    api.post(redetect, {"threshold": 0.9})
    (only,) = job.queue()["items"]
    assert only["review"]["verdict"] == "confirmed"
    assert api.get(f"{job.path}/review-summary")["labels"][0]["missed"] == 0
    api.post(redetect, {"threshold": 0.3})
    verdicts = [item["review"] and item["review"]["verdict"] for item in job.queue()["items"]]
    assert verdicts == ["rejected", "confirmed", None]
    assert len(api.get(f"{job.path}/files/{job.files[0]}/reviews")["reviews"]) == 2


def test_a_batch_is_stored_whole_or_not_at_all(api: Api) -> None:
    job = Job(api, [0.1, 0.2], [0.1])
    reviews = [
        {"file_id": file, "id": uuid.uuid4().hex, "verdict": "rejected"}
        | {key: detection[key] for key in ("artifact_type", "start_ms", "end_ms")}
        for number, file in enumerate(job.files)
        for detection in job.detections(number)
    ]
    path = f"{job.path}/reviews/batch"
    bad = [*reviews[:2], reviews[2] | {"end_ms": 10**9}]
    problem = api.post(path, {"reviews": bad}, 400)
    assert problem["detail"].startswith("review 3: end_ms")
    assert job.queue()["progress"]["reviewed"] == 0
    assert api.post(path, {"reviews": reviews}) == {"stored": 3, "deleted": 0}
    assert job.queue()["progress"]["rejected"] == 3
    undo = [{"file_id": review["file_id"], "id": review["id"]} for review in reviews]
    assert api.post(path, {"delete": undo}) == {"stored": 0, "deleted": 3}
    assert job.queue()["progress"]["reviewed"] == 0
    stranger = [reviews[0] | {"file_id": str(uuid.uuid4())}]
    api.post(path, {"reviews": stranger}, 404)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"verdict": "maybe"}, "verdict"),
        ({"artifact_type": ""}, "artifact_type"),
        ({"artifact_type": "a\0"}, "artifact_type"),
        ({"start_ms": -1}, "start_ms"),
        ({"start_ms": 5, "end_ms": 5}, "end_ms"),
        ({"end_ms": 10**7}, "end_ms"),
        ({"end_ms": 10**30}, "end_ms"),
        ({"reviewed_start_ms": 1}, "reviewed_end_ms"),
        ({"reviewed_start_ms": 9, "reviewed_end_ms": 2}, "reviewed_end_ms"),
        ({"verdict": "rejected", "reviewed_type": "hum"}, "verdict"),
        ({"comment": "x" * 2001}, "comment"),
        ({"score": 1}, "score"),
    ],
)
def test_a_bad_review_is_refused_by_its_field(job: Job, change: dict[str, Any], field: str) -> None:
    body = {"artifact_type": "loud", "start_ms": 0, "end_ms": 9, "verdict": "confirmed"} | change
    path = f"{job.path}/files/{job.files[1]}/reviews/x"
    assert field in job.api.call("PUT", path, 400, json=body)["detail"]
    assert job.api.get(f"{job.path}/files/{job.files[1]}/reviews")["reviews"] == []


def test_a_bad_id_is_refused(job: Job) -> None:
    body = {"artifact_type": "loud", "start_ms": 0, "end_ms": 9, "verdict": "confirmed"}
    for review_id in ("a b", "x" * 65, "ü"):
        path = f"{job.path}/files/{job.files[1]}/reviews/{review_id}"
        assert "review_id" in job.api.call("PUT", path, 400, json=body)["detail"]


def test_a_file_that_failed_is_not_reviewed(api: Api) -> None:
    job_id = api.make_job()
    file_id = api.send(job_id, b"no audio")
    api.finished_file(job_id, file_id)
    body = {"artifact_type": "loud", "start_ms": 0, "end_ms": 9, "verdict": "confirmed"}
    path = f"{JOBS}/{job_id}/files/{file_id}/reviews/x"
    assert api.call("PUT", path, 409, json=body)["code"] == "not_ready"


def test_the_precision_of_a_type_and_a_threshold_come_from_the_reviews(api: Api) -> None:
    """The two loudest of four are right, so a threshold between them and the others has no false ones."""
    job = Job(api, [0.08, 0.1, 0.12, 0.14, 0.16])
    for place, verdict in ((0, "rejected"), (1, "rejected"), (2, "confirmed"), (3, "confirmed")):
        job.review(place, verdict)
    missed = {"artifact_type": "loud", "start_ms": 500, "end_ms": 520, "verdict": "confirmed"}
    api.call("PUT", f"{job.path}/files/{job.files[0]}/reviews/missed", 200, json=missed)
    (label,) = api.get(f"{job.path}/review-summary")["labels"]
    assert label["artifact_type"] == "loud"
    assert label["counts"]["unreviewed"] == 1
    assert label["precision"] == 0.5
    assert label["precision_low"] == pytest.approx(0.150, abs=1e-3)  # Wilson, 2 of 4
    assert label["precision_high"] == pytest.approx(0.850, abs=1e-3)
    assert label["suggested_threshold"] == job.detections()[2]["confidence"]
    assert label["kept_confirmed"] == 2
    lenient = api.get(f"{job.path}/review-summary", params={"target_precision": 0.5})["labels"][0]
    assert lenient["suggested_threshold"] == job.detections()[0]["confidence"]
    assert "target_precision" in api.get(f"{job.path}/review-summary", 400, params={"target_precision": 0})["detail"]
