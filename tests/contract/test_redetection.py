"""Detection with other settings from kept scores: what a new job would find, at once, for a file or a whole job."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import requests

from appliance.state.database import Database
from tests.support.appliances import Api, Appliance, wait_for
from tests.support.encoded_files import wav
from tests.support.toy_recordings import RATE_HZ, loud_wav

JOBS = "/api/v1/inference-jobs"


def bumpy_wav(seed: int = 1) -> bytes:
    """Nine seconds whose loudness changes often and by little."""
    rng = np.random.default_rng(seed)
    loudness = np.repeat(np.clip(rng.normal(0.1, 0.06, 400), 0, 0.4), RATE_HZ * 9 // 400)
    return wav(np.where(np.arange(len(loudness)) % 2, loudness, -loudness).astype(np.float32), RATE_HZ)


@pytest.fixture(scope="module")
def done(appliance: Appliance) -> tuple[str, str]:
    """A job with one completed file."""
    job_id = appliance.api.make_job()
    file_id = appliance.api.send(job_id, bumpy_wav())
    assert appliance.api.finished_file(job_id, file_id)["scores_kept"]
    return job_id, file_id


def settings(seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    return {
        "threshold": round(rng.uniform(0.02, 0.98), 3),
        "merge_window_ms": rng.choice([0, 20, 40, 80, 200]),
        "min_duration_ms": rng.choice([0, 10, 30, 60, 150]),
    }


def test_fifty_settings_give_what_a_new_job_finds(api: Api, done: tuple[str, str]) -> None:
    job_id, file_id = done
    jobs = {seed: api.make_job(**settings(seed)) for seed in range(50)}
    files = {seed: api.send(job, bumpy_wav()) for seed, job in jobs.items()}
    counts = set()
    for seed, job in jobs.items():
        found = api.finished_file(job, files[seed])
        shown = api.get(f"{JOBS}/{job_id}/files/{file_id}/detections", params=settings(seed))
        assert shown["detections"] == found["detections"], settings(seed)
        assert shown["config"] == found["config"] == settings(seed)
        counts.add(shown["detection_count"])
    assert len(counts) > 10
    before = api.file(job_id, file_id)
    assert api.get(f"{JOBS}/{job_id}/files/{file_id}/detections")["detections"] == before["detections"]


def test_a_file_keeps_what_was_detected_again(api: Api) -> None:
    job_id = api.make_job()
    file_id = api.send(job_id, bumpy_wav())
    before = api.finished_file(job_id, file_id)
    path = f"{JOBS}/{job_id}/files/{file_id}"
    etag = api.response("GET", f"{JOBS}/{job_id}").headers["ETag"]
    shown = api.get(f"{path}/detections", params={"threshold": 0.2, "merge_window_ms": 0})
    kept = api.post(f"{path}/redetect", {"threshold": 0.2, "merge_window_ms": 0})
    assert kept["detections"] == shown["detections"] != before["detections"]
    assert kept["config"] == {"threshold": 0.2, "merge_window_ms": 0, "min_duration_ms": 50}
    assert api.file(job_id, file_id) == kept
    assert api.response("GET", f"{JOBS}/{job_id}").headers["ETag"] != etag
    assert api.post(f"{path}/redetect", {"threshold": None})["config"]["threshold"] == 0.5
    again = api.post(f"{path}/redetect", {"merge_window_ms": None})
    assert again["detections"] == before["detections"]


def test_a_job_is_detected_again_by_the_worker(api: Api) -> None:
    job_id = api.make_job()
    files = [api.send(job_id, bumpy_wav(seed)) for seed in range(3)]
    api.finished_job(job_id)
    shown = [api.get(f"{JOBS}/{job_id}/files/{file}/detections", params={"threshold": 0.3}) for file in files]
    assert api.post(f"{JOBS}/{job_id}/redetect", {"threshold": 0.3}, 202) == {"queued_files": 3}
    wait_for(lambda: all(api.file(job_id, file)["config"]["threshold"] == 0.3 for file in files))
    assert [api.file(job_id, file)["detections"] for file in files] == [file["detections"] for file in shown]
    assert api.job(job_id)["config"]["threshold"] == 0.3
    later = api.send(job_id, bumpy_wav(0))
    assert api.finished_file(job_id, later)["detections"] == shown[0]["detections"]


def test_scores_that_are_gone_are_made_again_with_the_model(api: Api, appliance: Appliance) -> None:
    job_id = api.make_job()
    file_id = api.send(job_id, bumpy_wav())
    before = api.finished_file(job_id, file_id)
    path = f"{JOBS}/{job_id}/files/{file_id}"
    with Database(appliance.data_dir / "appliance.db").transaction() as tx:
        tx.change("UPDATE inference_files SET scores_bytes = NULL, scores_etag = NULL WHERE id = ?", [file_id])
    for call in (
        lambda: api.get(f"{path}/detections", 409),
        lambda: api.post(f"{path}/redetect", {"threshold": 0.4}, 409),
        lambda: api.post(f"{JOBS}/{job_id}/redetect", {"threshold": 0.4}, 409),
    ):
        problem = call()
        assert problem["code"] == "scores_not_kept"
        assert "POST /api/v1/inference-jobs/" in problem["detail"]
        assert '/redetect with {"with_model": true}' in problem["detail"]
    queued = api.post(f"{path}/redetect", {"threshold": 0.9, "with_model": True}, 202)
    assert queued["status"] == "completed"
    done = wait_for(lambda: f if (f := api.file(job_id, file_id))["redetection"] is None else None)
    assert (done["config"]["threshold"], done["scores_kept"]) == (0.9, True)
    assert done["detections"] == api.get(f"{path}/detections")["detections"]
    assert done["detections"] != before["detections"]


def test_a_recording_that_is_gone_keeps_its_detections(api: Api, appliance: Appliance) -> None:
    job_id = api.make_job()
    file_id = api.send(job_id, loud_wav())
    before = api.finished_file(job_id, file_id)
    path = f"{JOBS}/{job_id}/files/{file_id}"
    with Database(appliance.data_dir / "appliance.db").transaction() as tx:
        tx.change("UPDATE inference_files SET original_removed_at = 1 WHERE id = ?", [file_id])
    assert api.post(f"{path}/redetect", {"with_model": True}, 409)["code"] == "not_uploaded"
    with Database(appliance.data_dir / "appliance.db").transaction() as tx:
        sql = "UPDATE inference_files SET original_removed_at = NULL, object_key = object_key || 'x' WHERE id = ?"
        tx.change(sql, [file_id])
    api.post(f"{path}/redetect", {"with_model": True, "threshold": 0.1}, 202)

    def failed() -> Any:
        request = api.file(job_id, file_id)["redetection"]
        return request if request and request["status"] == "failed" else None

    assert wait_for(failed)["error_code"] == "object_missing"
    assert api.file(job_id, file_id)["detections"] == before["detections"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", "1.1"),
        ("threshold", "nan"),
        ("threshold", "high"),
        ("merge_window_ms", "-1"),
        ("merge_window_ms", "5001"),
        ("min_duration_ms", "1.5"),
        ("label", "click"),
    ],
)
def test_bad_settings_are_refused_by_name(api: Api, done: tuple[str, str], name: str, value: str) -> None:
    job_id, file_id = done
    problem = api.get(f"{JOBS}/{job_id}/files/{file_id}/detections", 400, params={name: value})
    assert problem["detail"].startswith(name)


def test_the_scores_of_a_stretch_are_shown(api: Api, done: tuple[str, str]) -> None:
    """A part of which a detection covers all reaches its confidence, and the greatest of all is the strongest one."""
    job_id, file_id = done
    path = f"{JOBS}/{job_id}/files/{file_id}"
    detections = api.get(path)["detections"]
    shown = api.get(f"{path}/scores", params={"end_ms": 9000, "points": 1})
    [label] = shown["labels"]
    assert label == {
        "artifact_type": "loud",
        "scores": [pytest.approx(max(d["confidence"] for d in detections), abs=1e-4)],
    }
    params = {"start_ms": 8000, "end_ms": 10_000, "points": 200}
    scores = api.get(f"{path}/scores", params=params)["labels"][0]["scores"]
    assert len(scores) == 200
    assert any(scores[:100])
    assert not any(scores[101:])  # behind the end
    assert "end_ms: must be after" in api.get(f"{path}/scores", 400, params={"start_ms": 9, "end_ms": 9})["detail"]
    assert "points" in api.get(f"{path}/scores", 400, params={"end_ms": 9, "points": 4001})["detail"]


def test_a_file_that_is_not_completed_has_no_scores(api: Api) -> None:
    job_id = api.make_job()
    file_id = api.upload(job_id, loud_wav())
    path = f"{JOBS}/{job_id}/files/{file_id}"
    assert api.get(f"{path}/detections", 409)["code"] == "not_ready"
    assert api.get(f"{path}/scores", 409, params={"end_ms": 10})["code"] == "not_ready"
    assert api.post(f"{path}/redetect", {}, 409)["code"] == "not_ready"
    assert api.post(f"{path}/redetect", {"with_model": True}, 409)["code"] == "not_ready"


def test_scores_are_counted_and_deleted_with_their_file(api: Api, appliance: Appliance) -> None:
    job_id = api.make_job()
    content = bumpy_wav()
    file_id = api.send(job_id, content)
    api.finished_file(job_id, file_id)
    row = Database(appliance.data_dir / "appliance.db").one(
        "SELECT scores_bytes, derived_bytes FROM inference_files WHERE id = ?", [file_id]
    )
    assert row is not None
    assert row["scores_bytes"] == row["derived_bytes"] > 2 * 700
    used = api.get("/api/v1/usage")
    assert api.response("DELETE", f"{JOBS}/{job_id}/files/{file_id}").status_code == 204
    freed = str(used), str(api.get("/api/v1/usage"))
    assert freed[0] != freed[1]
    assert requests.get(f"{appliance.url}/audio/tenant-1/inference-{job_id}/{file_id}/scores").status_code == 403
