"""Audio that is missing in a stream is reported as such, and stays so when detection is done again."""

from __future__ import annotations

import pytest

from tests.support.appliances import Api
from tests.support.encoded_files import encode, noise, without_ogg_page

LOST = without_ogg_page(encode("opus", noise(48_000, 5, level=0.01), 48_000), 3)


def test_a_lost_page_is_a_dropout_of_the_stream_and_no_setting_loses_it(api: Api) -> None:
    job_id = api.make_job("loud-gaps")
    file_id = api.send(job_id, LOST)
    file = api.finished_file(job_id, file_id)
    [detection] = file["detections"]
    assert {name: detection[name] for name in ("artifact_type", "confidence", "source")} == {
        "artifact_type": "dropout", "confidence": 1.0, "source": "stream",
    }  # fmt: skip
    assert detection["end_ms"] - detection["start_ms"] == pytest.approx(1000, abs=2)
    path = f"/api/v1/inference-jobs/{job_id}/files/{file_id}"
    assert api.get(f"{path}/detections", params={"threshold": 0.99})["detections"] == [detection]
    assert api.post(f"{path}/redetect", {"threshold": 0.9})["detections"] == [detection]
    [item] = api.get(f"/api/v1/inference-jobs/{job_id}/review-queue")["items"]
    assert item["detection"] == detection


def test_a_model_without_that_type_reports_none(api: Api) -> None:
    job_id = api.make_job("loud-frames")
    assert api.finished_file(job_id, api.send(job_id, LOST))["detections"] == []
