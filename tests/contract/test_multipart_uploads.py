"""Uploads in parts: in any order, again, after a break; and what a client may not do with the URLs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from appliance.cli.__main__ import main
from tests.support.appliances import Api, Appliance
from tests.support.encoded_files import noise, wav

JOBS = "/api/v1/inference-jobs"
PART = 16 * 1024**2
CONTENT = wav(noise(16_000, 2), 16_000) + bytes(PART)  # two parts; what follows the audio is ignored


def begin(api: Api, size: int = len(CONTENT), status: int = 200) -> tuple[str, Any]:
    """A new upload in parts: the path of its job, and the answer."""
    path = f"{JOBS}/{api.make_job()}/files"
    body = {"filename": "a.wav", "content_type": "audio/wav", "file_size_bytes": size, "multipart": True}
    return path, api.post(f"{path}/upload-url", body, status)


def put(part: Any, content: bytes = CONTENT, **options: Any) -> requests.Response:
    data = content[part["offset"] : part["offset"] + part["size_bytes"]]
    return requests.put(part["url"], data=data, **options)


def test_a_file_is_uploaded_in_parts_and_goes_on_after_a_break(api: Api) -> None:
    path, upload = begin(api)
    file_id = upload["file_id"]
    assert (upload["part_size_bytes"], upload["num_parts"], upload["num_missing"], upload["arrived"]) == (
        PART,
        2,
        2,
        [],
    )
    first, last = upload["parts"]
    assert put(last).status_code == 200
    problem = api.post(f"{path}/confirm", {"file_id": file_id}, 409)
    assert (problem["code"], problem["detail"]) == ("not_uploaded", "1 of 2 parts have not arrived: 1.")
    report = api.get(f"{path}/{file_id}/parts")
    assert report["arrived"] == [{"part_number": 2, "size_bytes": len(CONTENT) - PART}]
    assert [part["part_number"] for part in report["parts"]] == [1]
    assert put(report["parts"][0]).status_code == 200
    assert put(first).status_code == 200  # a part twice
    for _ in range(2):
        assert api.post(f"{path}/confirm", {"file_id": file_id})["status"] == "queued"
    job_id = path.split("/")[4]
    assert api.finished_file(job_id, file_id)["duration_ms"] == 2000
    original = requests.get(api.get(f"{path}/{file_id}/download-url")["url"])
    assert original.content == CONTENT
    assert put(first).status_code in (403, 404)  # the upload has ended
    assert requests.get(api.get(f"{path}/{file_id}/download-url")["url"]).content == CONTENT
    assert api.get(f"{path}/{file_id}/parts", 409)["code"] == "conflict"


def test_doctor_counts_open_uploads(api: Api, appliance: Appliance, one_model: Path) -> None:
    begin(api, 400_000_000)
    options = ["--data-dir", str(appliance.data_dir)]
    env = appliance.settings | {"APPLIANCE_MODEL_STORE": str(one_model)}
    output = CliRunner().invoke(main, ["doctor", *options], env=env).output
    assert re.search(r"uploads +in parts: [1-9]\d* open, of [4-9]\d\d MB", output), output


def test_a_url_takes_its_part_and_nothing_else(api: Api) -> None:
    path, upload = begin(api)
    first, last = upload["parts"]
    plain = first["url"].partition("?")[0]
    query = first["url"].partition("?")[2]
    without_part = "&".join(pair for pair in query.split("&") if not pair.startswith(("partNumber", "uploadId")))
    refused = [
        requests.put(f"{plain}?{without_part}", data=b"x"),
        requests.put(first["url"].replace("partNumber=1", "partNumber=3"), data=CONTENT[:PART]),
        requests.put(first["url"], data=CONTENT[: PART - 1]),
        requests.put(first["url"], data=CONTENT[: PART + 1]),
        requests.get(first["url"]),
        requests.delete(first["url"]),
        requests.post(first["url"], data=b"<CompleteMultipartUpload/>"),
        requests.put(f"{first['url']}&x-id=1", data=CONTENT[:PART]),
    ]
    assert [response.status_code for response in refused] == [403] * len(refused)
    assert api.get(f"{path}/{upload['file_id']}/parts")["num_missing"] == 2
    assert put(last).status_code == 200


@pytest.mark.parametrize(
    ("size", "status", "sentence"), [(0, 400, "at least 1"), (500 * 2**20 + 1, 413, "over the limit")]
)
def test_a_size_that_cannot_be(api: Api, size: int, status: int, sentence: str) -> None:
    assert sentence in begin(api, size, status)[1]["detail"]


def test_a_file_of_a_form_has_no_parts_and_a_cancelled_job_takes_none(api: Api) -> None:
    job_id = api.make_job()
    file_id = api.request_upload(job_id, 4)["file_id"]
    assert "not uploaded in parts" in api.get(f"{JOBS}/{job_id}/files/{file_id}/parts", 409)["detail"]
    path, upload = begin(api)
    api.cancel(path.split("/")[4])
    assert api.get(f"{path}/{upload['file_id']}/parts", 409)["code"] == "job_cancelled"
    assert api.post(f"{path}/confirm", {"file_id": upload["file_id"]}, 409)["code"] == "job_cancelled"
