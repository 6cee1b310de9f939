"""The calls of Relay's neighboring pages: artifact types, annotation sets, numbered pages, and whole numbers."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.support.appliances import Api, Appliance, cpu_seconds, post_form, wait_for
from tests.support.toy_recordings import LOUD_DETECTIONS, LOUD_DURATION_MS, loud_wav

DATASETS = "/api/v1/datasets"
JOBS = "/api/v1/inference-jobs"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
TYPES = [
    {"name": "glitch", "description": "Audio pop or click", "color": "#FF4444"},
    {"name": "long_pause", "description": "Silence > 500ms", "color": "#4444FF"},
]


def new_dataset(api: Api, **body: Any) -> str:
    """Create a dataset. Returns its path."""
    return f"{DATASETS}/{api.post(DATASETS, {'name': 'takes'} | body, 201)['id']}"


def request_audio(api: Api, dataset: str, content: bytes, name: str = "take.wav") -> Any:
    """Request an upload. Returns the form."""
    body = {"filename": name, "content_type": "audio/wav", "file_size": len(content)}
    form = api.post(f"{dataset}/audio/upload-url", body)
    return form | {"upload_fields": form["fields"]}


def add_audio(api: Api, dataset: str, content: bytes, name: str = "take.wav") -> str:
    """Upload audio and wait until it is ready. Returns its id."""
    form = request_audio(api, dataset, content, name)
    post_form(form, content)
    api.post(f"{dataset}/audio/confirm", {"audio_id": form["audio_id"]})
    wait_for(lambda: api.get(f"{dataset}/audio/{form['audio_id']}")["processing_status"] == "ready")
    return form["audio_id"]


@pytest.fixture(scope="module")
def dataset(appliance: Appliance) -> str:
    """The path of a dataset that takes every type."""
    return new_dataset(appliance.api)


@pytest.fixture(scope="module")
def audio_id(appliance: Appliance, dataset: str) -> str:
    """Audio of 2.322 s that is ready."""
    return add_audio(appliance.api, dataset, loud_wav())


@pytest.fixture
def draft(api: Api, dataset: str) -> str:
    """The path of an empty draft."""
    return f"{dataset}/annotation-sets/{create_set(api, dataset)['id']}"


def create_set(api: Api, dataset: str) -> Any:
    """Create an annotation set as the page does: without a body."""
    return api.call("POST", f"{dataset}/annotation-sets", 201)


def mark(audio_id: str, start_ms: float = 0, end_ms: float = 10, **fields: Any) -> dict[str, Any]:
    return {"audio_file_id": audio_id, "artifact_type": "glitch", "start_ms": start_ms, "end_ms": end_ms} | fields


def test_artifact_types_are_stored_and_replaced(api: Api) -> None:
    dataset = new_dataset(api, artifact_types=TYPES)
    assert api.get(dataset)["artifact_types"] == TYPES
    api.call("PATCH", dataset, 200, json={"name": "Updated Dataset Name"})
    assert api.get(dataset)["artifact_types"] == TYPES
    changed = api.call("PATCH", dataset, 200, json={"artifact_types": [{"name": "hum"}]})
    assert changed["artifact_types"] == [{"name": "hum", "description": None, "color": "#FF0000"}]
    again = api.call("PATCH", dataset, 200, json={"artifact_types": changed["artifact_types"]})
    assert again["artifact_types"] == changed["artifact_types"]
    assert api.call("PATCH", dataset, 200, json={"artifact_types": []})["artifact_types"] == []
    assert api.get(new_dataset(api))["artifact_types"] == []


@pytest.mark.parametrize(
    "types",
    [
        [{"name": "x"}, {"name": "x"}],
        [{"name": ""}],
        [{"name": "x" * 101}],
        [{"description": "without a name"}],
        [{"name": "x", "colour": "#FF0000"}],
        [{"name": "x", "color": "red"}],
        [{"name": "x", "color": "#FF00"}],
        [{"name": "x", "color": "#FF0000\n"}],
        [{"name": "x", "description": "x" * 10_001}],
        [{"name": f"{number}"} for number in range(201)],
        ["x"],
        {"name": "x"},
        "x",
    ],
)
def test_an_invalid_artifact_type_is_a_400(api: Api, types: object) -> None:
    assert "artifact_types" in api.post(DATASETS, {"name": "takes", "artifact_types": types}, 400)["detail"]
    dataset = new_dataset(api)
    assert "artifact_types" in api.call("PATCH", dataset, 400, json={"artifact_types": types})["detail"]


def test_a_dataset_with_types_takes_only_these(api: Api) -> None:
    dataset = new_dataset(api, artifact_types=TYPES)
    audio_id = add_audio(api, dataset, loud_wav())
    path = f"{dataset}/annotation-sets/{create_set(api, dataset)['id']}/annotations"
    api.post(path, mark(audio_id), 201)
    refused = api.post(path, mark(audio_id, artifact_type="buzz"), 400)["detail"]
    assert "glitch, long_pause" in refused
    one = {"artifact_type": "buzz", "start_ms": 0, "end_ms": 1}
    assert api.post(f"{dataset}/audio/{audio_id}/annotations", one, 400)["detail"] == refused


def test_a_set_goes_from_draft_to_published(api: Api, audio_id: str, dataset: str) -> None:
    created = create_set(api, dataset)
    assert (created["status"], created["total_annotations"], created["published_at"]) == ("draft", 0, None)
    assert create_set(api, dataset)["version"] == created["version"] + 1
    path = f"{dataset}/annotation-sets/{created['id']}"
    annotation = api.post(f"{path}/annotations", mark(audio_id), 201)
    assert annotation == mark(audio_id) | {
        "id": annotation["id"],
        "annotation_set_id": created["id"],
        "confidence": 1.0,
        "created_at": annotation["created_at"],
    }
    published = api.call("POST", f"{path}/publish", 200)
    assert (published["status"], published["total_annotations"]) == ("published", 1)
    assert published["published_at"] == published["updated_at"]
    assert api.get(path) == published
    one = f"{path}/annotations/{annotation['id']}"
    refused = [
        api.call("POST", f"{path}/publish", 409),
        api.post(f"{path}/annotations", mark(audio_id), 409),
        api.post(f"{path}/annotations/bulk", {"annotations": [mark(audio_id)]}, 409),
        api.call("PATCH", one, 409, json={"end_ms": 20}),
        api.call("DELETE", one, 409),
    ]
    assert {problem["code"] for problem in refused} == {"conflict"}
    assert api.get(f"{path}/annotations")["items"] == [annotation]


def test_sets_are_listed_in_order_of_their_version(api: Api) -> None:
    dataset = new_dataset(api)
    sets = [create_set(api, dataset) for _ in range(3)]
    api.call("POST", f"{dataset}/annotation-sets/{sets[1]['id']}/publish", 200)
    listed = api.get(f"{dataset}/annotation-sets")["items"]
    assert [(row["version"], row["status"]) for row in listed] == [(1, "draft"), (2, "published"), (3, "draft")]
    page = api.get(f"{dataset}/annotation-sets", params={"limit": 2})
    rest = api.get(f"{dataset}/annotation-sets", params={"limit": 2, "cursor": page["next_cursor"]})
    assert page["items"] + rest["items"] == listed
    drafts = api.get(f"{dataset}/annotation-sets", params={"status": "draft", "page": 1})
    assert ([row["version"] for row in drafts["items"]], drafts["total"]) == ([1, 3], 2)
    assert api.get(dataset)["annotation_set_count"] == 3


def test_an_annotation_is_changed_and_deleted(api: Api, audio_id: str, draft: str) -> None:
    annotation = api.post(f"{draft}/annotations", mark(audio_id, confidence=0.25), 201)
    path = f"{draft}/annotations/{annotation['id']}"
    changed = api.call("PATCH", path, 200, json={"end_ms": 20.0, "artifact_type": "hum", "confidence": 1})
    assert changed == annotation | {"end_ms": 20, "artifact_type": "hum", "confidence": 1.0}
    assert api.call("PATCH", path, 200, json={}) == changed
    for wrong in ({"start_ms": 20}, {"end_ms": LOUD_DURATION_MS + 1}, {"confidence": 1.5}, {"status": "x"}):
        api.call("PATCH", path, 400, json=wrong)
    api.call("PATCH", path, 404, json={"audio_file_id": UNKNOWN_ID})
    assert api.response("DELETE", path).status_code == 204
    api.call("DELETE", path, 404)
    api.call("PATCH", path, 404, json={})
    assert api.get(f"{draft}/annotations")["items"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_ms": -1},
        {"start_ms": 10},
        {"start_ms": "0"},
        {"start_ms": 0.5},
        {"start_ms": True},
        {"end_ms": LOUD_DURATION_MS + 1},
        {"end_ms": 1e300},
        {"artifact_type": ""},
        {"artifact_type": "x" * 101},
        {"confidence": -0.1},
        {"confidence": 1.1},
        {"confidence": None},
        {"audio_file_id": None},
        {"file": "x"},
    ],
)
def test_a_bulk_call_stores_all_or_nothing(api: Api, audio_id: str, draft: str, wrong: dict[str, Any]) -> None:
    api.post(f"{draft}/annotations", mark(audio_id, **wrong), 400)
    rows = [mark(audio_id), mark(audio_id), mark(audio_id, **wrong), mark(audio_id)]
    detail = api.post(f"{draft}/annotations/bulk", {"annotations": rows}, 400)["detail"]
    assert "annotations.2." in detail or "annotation 3: " in detail
    (field,) = wrong
    assert field in detail or (field, "end_ms" in detail) == ("start_ms", True)  # "end_ms: must be after start_ms"
    assert api.get(draft)["total_annotations"] == 0


def test_a_bulk_call_needs_rows_and_known_audio(api: Api, audio_id: str, draft: str) -> None:
    bodies: list[Any] = [{}, {"annotations": []}, {"annotations": None}, [mark(audio_id)], {"annotations": [1]}]
    for body in bodies:
        api.post(f"{draft}/annotations/bulk", body, 400)
    rows = [mark(audio_id), mark(UNKNOWN_ID)]
    assert "annotation 2" in api.post(f"{draft}/annotations/bulk", {"annotations": rows}, 404)["detail"]
    unready = request_audio(api, draft.partition("/annotation-sets")[0], b"x")["audio_id"]
    assert api.post(f"{draft}/annotations", mark(unready), 409)["code"] == "not_ready"
    assert api.get(draft)["total_annotations"] == 0


def test_ten_thousand_annotations_cost_in_proportion(appliance: Appliance, api: Api, audio_id: str, draft: str) -> None:
    def seconds(count: int) -> float:
        rows = [mark(audio_id, n % 2000, n % 2000 + 1) for n in range(count)]
        start = cpu_seconds(appliance.pid("api"))
        answer = api.post(f"{draft}/annotations/bulk", {"annotations": rows}, 201)
        taken = cpu_seconds(appliance.pid("api")) - start
        assert answer["created"] == len(answer["annotations"]) == count
        assert [row["start_ms"] for row in answer["annotations"]] == [row["start_ms"] for row in rows]
        return taken

    assert seconds(10_000) < 20 * sum(seconds(1000) for _ in range(3)) / 3
    assert api.get(draft)["total_annotations"] == 13_000
    too_many = {"annotations": [mark(audio_id)] * 10_001}
    assert "10000" in api.post(f"{draft}/annotations/bulk", too_many, 400)["detail"]


def test_a_bulk_body_has_a_limit_of_its_own(api: Api, audio_id: str, draft: str) -> None:
    for padding, status in ((1_200_000, 400), (4_300_000, 413)):
        body = {"annotations": [mark(audio_id, artifact_type="x" * padding)]}
        problem = api.post(f"{draft}/annotations/bulk", body, status)
        assert problem["code"] == ("request_too_large" if status == 413 else "invalid_request")
    assert api.post(f"{draft}/annotations", mark(audio_id, artifact_type="x" * 1_200_000), 413)


def test_annotations_are_filtered_and_paged(api: Api, dataset: str, audio_id: str, draft: str) -> None:
    second = add_audio(api, dataset, loud_wav())
    rows = [mark(name, n, n + 1, artifact_type=kind) for n in range(3) for name in (audio_id, second) for kind in "ab"]
    stored = api.post(f"{draft}/annotations/bulk", {"annotations": rows}, 201)["annotations"]
    path = f"{draft}/annotations"
    assert api.get(path)["items"] == stored
    of_second = [row for row in stored if row["audio_file_id"] == second]
    assert api.get(path, params={"audio_file_id": second})["items"] == of_second
    both = {"audio_file_id": second, "artifact_type": "a", "page": 2, "page_size": 2}
    page = api.get(path, params=both)
    assert page["items"] == [row for row in of_second if row["artifact_type"] == "a"][2:]
    assert (page["total"], page["page"], page["page_size"], page["next_cursor"]) == (3, 2, 2, None)
    seen, cursor = [], None
    while True:
        answer = api.get(path, params={"limit": 5} | ({"cursor": cursor} if cursor else {}))
        seen += answer["items"]
        if not (cursor := answer["next_cursor"]):
            break
    assert seen == stored


def test_annotations_of_sets_and_of_recordings_do_not_mix(api: Api, dataset: str, audio_id: str, draft: str) -> None:
    single = f"{dataset}/audio/{audio_id}/annotations"
    old = api.post(single, {"artifact_type": "click", "start_ms": 0.0, "end_ms": 1}, 201)
    in_set = api.post(f"{draft}/annotations", mark(audio_id), 201)
    assert [row["id"] for row in api.get(single)["items"]] == [old["id"]]
    assert api.get(single)["annotations"] == api.get(single)["items"]
    api.call("DELETE", f"{single}/{in_set['id']}", 404)
    api.call("DELETE", f"{draft}/annotations/{old['id']}", 404)
    assert api.response("DELETE", f"{single}/{old['id']}").status_code == 204


def test_detections_become_annotations(api: Api, audio_id: str, draft: str) -> None:
    job_id = api.make_job()
    file_id = api.send(job_id, loud_wav())
    api.finished_file(job_id, file_id)
    path = f"{draft}/annotations/from-detections"
    body = {"audio_file_id": audio_id, "job_id": job_id, "file_id": file_id}
    answer = api.post(path, body, 201)
    fields = ("artifact_type", "start_ms", "end_ms", "confidence")
    detections = [{name: detection[name] for name in fields} for detection in LOUD_DETECTIONS]
    assert [{name: row[name] for name in fields} for row in answer["annotations"]] == detections
    assert {row["audio_file_id"] for row in answer["annotations"]} == {audio_id}
    assert api.post(path, body | {"artifact_types": ["hum"]}, 201) == {"annotations": [], "created": 0}
    assert api.post(path, body | {"threshold": 1}, 201)["created"] == 1
    for name in ("audio_file_id", "job_id", "file_id"):
        api.post(path, body | {name: UNKNOWN_ID}, 404)
    longer = api.send(job_id, loud_wav(num_frames=201))
    unfinished = api.upload(job_id, loud_wav())
    api.finished_file(job_id, longer)
    assert "not the same recording" in api.post(path, body | {"file_id": longer}, 400)["detail"]
    assert api.post(path, body | {"file_id": unfinished}, 409)["code"] == "not_ready"
    for wrong in ({"threshold": 2}, {"threshold": "0.5"}, {"artifact_types": "click"}, {"file_id": None}):
        api.post(path, body | wrong, 400)
    assert api.get(draft)["total_annotations"] == 2
    api.call("POST", f"{draft}/publish", 200)
    api.post(path, body, 409)


def test_the_sets_of_another_tenant_or_dataset_are_a_404(api: Api, other: Api, audio_id: str, draft: str) -> None:
    annotation = api.post(f"{draft}/annotations", mark(audio_id), 201)
    set_id = draft.rpartition("/")[2]
    mine_elsewhere, theirs = f"{new_dataset(api)}/annotation-sets", f"{new_dataset(other)}/annotation-sets"
    tries = [(other, draft), (api, f"{mine_elsewhere}/{set_id}"), (other, f"{theirs}/{set_id}")]
    for caller, path in [*tries, (api, f"{mine_elsewhere}/{UNKNOWN_ID}")]:
        caller.get(path, 404)
        caller.call("POST", f"{path}/publish", 404)
        caller.get(f"{path}/annotations", 404)
        caller.post(f"{path}/annotations", mark(audio_id), 404)
        caller.post(f"{path}/annotations/bulk", {"annotations": [mark(audio_id)]}, 404)
        caller.call("PATCH", f"{path}/annotations/{annotation['id']}", 404, json={})
        caller.call("DELETE", f"{path}/annotations/{annotation['id']}", 404)
    other.get(draft.rpartition("/")[0], 404)
    other.call("POST", draft.rpartition("/")[0], 404)
    assert api.get(f"{draft}/annotations")["items"] == [annotation]


def test_deleting_audio_or_the_dataset_deletes_theirs(api: Api) -> None:
    dataset = new_dataset(api)
    first, second = (add_audio(api, dataset, loud_wav()) for _ in range(2))
    path = f"{dataset}/annotation-sets/{create_set(api, dataset)['id']}"
    api.post(f"{path}/annotations/bulk", {"annotations": [mark(first), mark(second)]}, 201)
    api.call("POST", f"{path}/publish", 200)
    assert api.response("DELETE", f"{dataset}/audio/{first}").status_code == 204
    assert [row["audio_file_id"] for row in api.get(f"{path}/annotations")["items"]] == [second]
    assert api.response("DELETE", dataset).status_code == 204
    api.get(path, 404)


@pytest.fixture(scope="module")
def long_lists(appliance: Appliance) -> list[tuple[Api, str, str]]:
    """Lists of a tenant of their own with five rows each: API, path and the appliance's own name of the rows."""
    api = appliance.api_of("numbered pages", "numbered pages")
    datasets = [new_dataset(api) for _ in range(5)]
    for _ in range(5):
        request_audio(api, datasets[0], b"x")
        create_set(api, datasets[0])
        api.make_job()
    audio_id = add_audio(api, datasets[1], loud_wav())
    one = {"artifact_type": "x", "start_ms": 0}
    path = f"{datasets[1]}/annotation-sets/{create_set(api, datasets[1])['id']}/annotations"
    for n in range(5):
        api.post(f"{datasets[1]}/audio/{audio_id}/annotations", one | {"end_ms": n + 1}, 201)
        api.post(path, mark(audio_id, end_ms=n + 1), 201)
    return [
        (api, DATASETS, "datasets"),
        (api, f"{datasets[0]}/audio", "audio"),
        (api, f"{datasets[0]}/annotation-sets", "items"),
        (api, path, "items"),
        (api, f"{datasets[1]}/audio/{audio_id}/annotations", "annotations"),
        (api, JOBS, "inference_jobs"),
    ]


@pytest.mark.parametrize("position", range(6))
def test_a_list_is_read_by_page_number(long_lists: list[tuple[Api, str, str]], position: int) -> None:
    api, path, name = long_lists[position]
    whole = api.get(path)
    assert whole["items"] == whole[name]
    assert len(whole["items"]) == 5
    assert (whole["total"], whole["page"], whole["page_size"]) == (None, None, None)
    pages = [api.get(path, params={"page": number, "page_size": 2}) for number in (1, 2, 3, 4)]
    assert [len(page["items"]) for page in pages] == [2, 2, 1, 0]
    assert [row for page in pages for row in page[name]] == whole[name]
    assert {(page["total"], page["page_size"]) for page in pages} == {(5, 2)}
    assert [page["page"] for page in pages] == [1, 2, 3, 4]
    assert (api.get(path, params={"page": 1})["page_size"], api.get(path, params={"page_size": 3})["page"]) == (50, 1)
    wrong: list[dict[str, Any]] = [{"page": number} for number in (0, -1, "x", 10**30)]
    for query in [*wrong, {"page_size": 0}, {"page_size": 201}]:
        assert "page" in api.get(path, 400, params=query)["detail"]
    mixed: list[dict[str, Any]] = [{"page": 1, "limit": 50}, {"page_size": 1, "cursor": "x"}]
    for query in mixed:
        assert "cannot be combined" in api.get(path, 400, params=query)["detail"]
    rows: list[Any] = []
    cursor = None
    for length in (2, 2, 1):
        page = api.get(path, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) == length
        rows, cursor = rows + page[name], page["next_cursor"]
    assert (rows, cursor) == (whole[name], None)


def test_unknown_query_keys_are_refused_except_the_version(api: Api, dataset: str) -> None:
    for path in (DATASETS, JOBS, f"{dataset}/audio", f"{dataset}/annotation-sets"):
        api.get(path, params={"api-version": "2025-10-01"})
        api.get(path, params={"api-version": "2025-10-01", "page": 1})
        assert "offset: Unknown key" in api.get(path, 400, params={"offset": 1})["detail"]
        assert "api_version: Unknown key" in api.get(path, 400, params={"api_version": "x"})["detail"]


def test_a_number_without_a_fraction_is_a_whole_number(api: Api, dataset: str) -> None:
    job = api.post(JOBS, {"model_id": "loud-frames", "config": {"merge_window_ms": 200.0, "min_duration_ms": 0.0}}, 201)
    assert (job["config"]["merge_window_ms"], job["config"]["min_duration_ms"]) == (200, 0)
    declared = {"filename": "a.wav", "content_type": "audio/wav"}
    api.post(f"{JOBS}/{job['id']}/files/upload-url", declared | {"file_size_bytes": 10.0})
    api.post(f"{dataset}/audio/upload-url", declared | {"file_size": 1e3})
    for size in (10.5, "10", True, 0.0, -1.0):
        assert "file_size" in api.post(f"{dataset}/audio/upload-url", declared | {"file_size": size}, 400)["detail"]
    for window in (200.5, "200", True, -1.0, 5001.0):
        body = {"model_id": "loud-frames", "config": {"merge_window_ms": window}}
        assert "merge_window_ms" in api.post(JOBS, body, 400)["detail"]


@pytest.mark.parametrize(("content_type", "stored"), [("video/mp4", "audio/mp4"), ("video/webm", "audio/webm")])
def test_the_types_that_programs_guess_for_mp4_and_webm_are_taken(
    api: Api, dataset: str, content_type: str, stored: str
) -> None:
    body = {"filename": "a", "content_type": content_type, "file_size": 10}
    audio_id = api.post(f"{dataset}/audio/upload-url", body)["audio_id"]
    assert api.get(f"{dataset}/audio/{audio_id}")["content_type"] == stored


def test_the_document_names_its_server(appliance: Appliance) -> None:
    servers = requests.get(f"{appliance.url}/api/v1/openapi.json").json()["servers"]
    assert [server["url"] for server in servers] == ["/"]
