"""What people heard in a dataset's audio: presence, reviewed stretches and groups, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.test_annotation_sets import add_audio, new_dataset
from tests.support.appliances import Api
from tests.support.toy_recordings import loud_wav

SPAN = {"artifact_type": "click", "start_ms": 10, "end_ms": 20}


@pytest.fixture(scope="module")
def dataset(appliance: Any) -> str:
    return new_dataset(appliance.api)


@pytest.fixture(scope="module")
def audio(appliance: Any, dataset: str) -> str:
    """The path of audio that is ready."""
    return f"{dataset}/audio/{add_audio(appliance.api, dataset, loud_wav())}"


def test_a_recording_has_a_group(api: Api, other: Api, dataset: str, audio: str) -> None:
    assert api.get(audio)["group"] is None
    assert api.call("PATCH", audio, 200, json={"group": "voice 1"})["group"] == "voice 1"
    assert api.call("PATCH", audio, 200, json={"group": None})["group"] is None
    for bad in ({"group": ""}, {"group": "x" * 201}, {"group": 1}, {}):
        assert "group" in api.call("PATCH", audio, 400, json=bad)["detail"]
    other.call("PATCH", audio, 404, json={"group": "mine"})
    declared = {"filename": "a.wav", "content_type": "audio/wav", "file_size": 4, "group": "voice 2"}
    audio_id = api.post(f"{dataset}/audio/upload-url", declared)["audio_id"]
    assert api.get(f"{dataset}/audio/{audio_id}")["group"] == "voice 2"


def test_an_annotation_says_whether_its_label_is_there(api: Api, audio: str) -> None:
    made = [
        api.post(f"{audio}/annotations", SPAN | {"presence": presence, "start_ms": start, "end_ms": start + 5}, 201)
        for start, presence in ((100, "absent"), (110, "unsure"), (120, "present"))
    ]
    assert [a["presence"] for a in made] == ["absent", "unsure", "present"]
    assert "presence" in api.post(f"{audio}/annotations", SPAN | {"presence": "perhaps"}, 400)["detail"]
    lines = api.response("GET", f"{audio}/annotations/export").text.splitlines()
    assert '"presence": "absent"' in lines[0]
    assert "presence" not in lines[2]
    track = api.response("GET", f"{audio}/annotations/export", params={"format": "audacity"}).text
    assert track == "0.120000\t0.125000\tclick\n"
    bad = b'{"artifact_type": "click", "start_ms": 0, "end_ms": 9, "presence": "perhaps"}'
    answer = api.response("POST", f"{audio}/annotations/import", data=bad)
    assert (answer.status_code, "line 1: presence" in answer.json()["detail"]) == (400, True)


def test_a_label_cannot_be_present_and_absent_at_once(api: Api, dataset: str) -> None:
    path = f"{dataset}/audio/{add_audio(api, dataset, loud_wav())}/annotations"
    api.post(path, SPAN, 201)
    api.post(path, SPAN | {"presence": "absent", "start_ms": 20, "end_ms": 30}, 201)
    api.post(path, SPAN | {"presence": "absent", "artifact_type": "hum"}, 201)
    api.post(path, SPAN | {"presence": "unsure"}, 201)
    problem = api.post(path, SPAN | {"presence": "absent", "start_ms": 5, "end_ms": 11}, 422)
    assert problem["code"] == "annotation_refused"
    assert "'click' would be present from 10 to 20 ms and absent from 5 to 11 ms" in problem["detail"]
    lines = "".join(
        f'{{"artifact_type": "hum", "start_ms": {start}, "end_ms": {end}, "presence": "{presence}"}}\n'
        for start, end, presence in ((50, 60, "absent"), (52, 53, "absent"), (59, 70, "present"))
    )
    answer = api.response("POST", f"{path}/import", data=lines.encode())
    assert (answer.status_code, answer.json()["code"]) == (422, "annotation_refused")
    assert len(api.get(path)["annotations"]) == 4


def test_a_stretch_is_reviewed_for_labels(api: Api, other: Api, audio: str) -> None:
    duration_ms = api.get(audio)["duration_ms"]
    part = api.post(f"{audio}/reviews", {"labels": ["click", "hum", "click"], "start_ms": 5, "end_ms": 50}, 201)
    assert (part["labels"], part["start_ms"], part["end_ms"]) == (["click", "hum"], 5, 50)
    whole = api.post(f"{audio}/reviews", {"labels": ["hum"]}, 201)
    assert (whole["start_ms"], whole["end_ms"]) == (0, duration_ms)
    assert api.get(f"{audio}/reviews")["reviews"] == [whole, part]
    other.get(f"{audio}/reviews", 404)
    other.post(f"{audio}/reviews", {"labels": ["hum"]}, 404)
    other.call("DELETE", f"{audio}/reviews/{whole['id']}", 404)
    assert api.response("DELETE", f"{audio}/reviews/{whole['id']}").status_code == 204
    api.call("DELETE", f"{audio}/reviews/{whole['id']}", 404)
    assert api.get(f"{audio}/reviews")["reviews"] == [part]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "labels"),
        ({"labels": []}, 400, "labels"),
        ({"labels": [""]}, 400, "labels"),
        ({"labels": ["click"], "start_ms": -1}, 400, "start_ms"),
        ({"labels": ["click"], "end_ms": 10**9}, 422, "end_ms"),
        ({"labels": ["click"], "start_ms": 9, "end_ms": 9}, 422, "start_ms"),
        ({"labels": ["click"], "start_ms": 10**9}, 422, "start_ms"),
        ({"labels": ["click"], "until": 3}, 400, "until"),
    ],
)
def test_a_bad_review_is_refused_by_its_field(
    api: Api, audio: str, body: dict[str, Any], status: int, field: str
) -> None:
    assert field in api.post(f"{audio}/reviews", body, status)["detail"]


def test_a_review_names_labels_of_its_dataset(api: Api) -> None:
    types = [{"name": "click"}]
    dataset = f"/api/v1/datasets/{api.post('/api/v1/datasets', {'name': 't', 'artifact_types': types}, 201)['id']}"
    path = f"{dataset}/audio/{add_audio(api, dataset, loud_wav())}/reviews"
    api.post(path, {"labels": ["click"]}, 201)
    assert "labels: 'hum'" in api.post(path, {"labels": ["click", "hum"]}, 422)["detail"]


def test_audio_that_is_not_ready_is_not_reviewed(api: Api, dataset: str) -> None:
    declared = {"filename": "a.wav", "content_type": "audio/wav", "file_size": 4}
    audio_id = api.post(f"{dataset}/audio/upload-url", declared)["audio_id"]
    problem = api.post(f"{dataset}/audio/{audio_id}/reviews", {"labels": ["click"]}, 409)
    assert problem["code"] == "not_ready"
