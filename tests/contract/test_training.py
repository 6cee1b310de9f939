"""Training jobs over HTTP: what is refused, by which field, and whose they are. ``test_training_flow.py`` trains."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.test_annotation_sets import add_audio, new_dataset
from tests.support.appliances import Api, Appliance
from tests.support.toy_recordings import loud_wav
from tests.support.trainings import add_training, tenant_of

JOBS = "/api/v1/training-jobs"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


def test_what_is_refused_is_named(api: Api) -> None:
    dataset = new_dataset(api)
    audio = f"{dataset}/audio/{add_audio(api, dataset, loud_wav())}"
    api.post(f"{audio}/annotations", {"artifact_type": "knock", "start_ms": 1, "end_ms": 9}, 201)
    dataset_id = dataset.rpartition("/")[2]
    body = {"name": "knocks", "dataset_ids": [dataset_id], "labels": ["knock", "hum"], "base_model": "loud-frames"}
    problem = api.post(JOBS, body, 422)
    assert problem["code"] == "training_refused"
    plan = api.post(JOBS, body, 200, params={"dry_run": True})
    assert problem["detail"] == " ".join(plan["refusals"])
    assert plan["refusals"] == [
        "base_model: loud-frames@1.0.0 gives no features to learn from.",
        "dataset_ids: all recordings are of one group; a training needs several, to hold some out.",
        "labels: 'knock' has 1 event to learn from and to hold out; 15 are needed.",
        "labels: 'knock' is in 1 group to learn from and to hold out; 8 are needed.",
        "labels: 'knock' has no reviewed audio without it, to tell it from the rest.",
        "labels: 'hum' is in no annotation of these datasets.",
    ]
    assert plan["counts"]["recordings"] == 1
    assert "knocks" not in [job["name"] for job in api.get(JOBS)["items"]]  # nothing was started


def test_a_training_is_asked_for_as_on_the_hosted_services_page(api: Api, other: Api) -> None:
    dataset = new_dataset(api)
    audio_id, dataset_id = add_audio(api, dataset, loud_wav()), dataset.rpartition("/")[2]
    set_id = api.post(f"{dataset}/annotation-sets", None, 201)["id"]
    mark = {"audio_file_id": audio_id, "artifact_type": "knock", "start_ms": 1, "end_ms": 9}
    api.post(f"{dataset}/annotation-sets/{set_id}/annotations", mark, 201)
    config: dict[str, Any] = {"epochs": 20, "validation_split": 0.2, "learning_rate": 0.001, "batch_size": 32}
    config |= {"artifact_types": ["knock"], "chunk_size_ms": 500, "stride_ms": 250}
    body = {"dataset_id": dataset_id, "annotation_set_id": set_id, "config": config}
    draft = api.post(JOBS, body, 422)
    assert f"annotation_set_ids: '{set_id}' is a draft; publish it first." in draft["detail"]
    api.post(f"{dataset}/annotation-sets/{set_id}/publish", None)
    plan = api.post(JOBS, body, 200, params={"dry_run": True})
    ours = {"name": "knocks", "dataset_ids": [dataset_id], "labels": ["knock"], "annotation_set_ids": [set_id]}
    assert api.post(JOBS, ours, 200, params={"dry_run": True}) == plan
    assert plan["counts"]["labels"][0]["events"] == 1
    assert plan["refusals"][-1] == "labels: 'knock' has no reviewed audio without it, to tell it from the rest."
    unread = api.post(JOBS, ours | {"annotation_set_ids": []}, 200, params={"dry_run": True})
    assert unread["counts"]["recordings"] == 0
    others = new_dataset(other).rpartition("/")[2]
    problem = other.post(JOBS, body | {"dataset_id": others}, 404)
    assert problem["detail"] == f"annotation_set_ids: There is no annotation set '{set_id}' in these datasets."
    for twice in ({"dataset_ids": [dataset_id]}, {"labels": ["knock"]}, {"holdout": {"share": 0.2}}):
        assert f"both {next(iter(twice))}" in api.post(JOBS, body | twice, 400)["detail"]
    assert "must have labels" in api.post(JOBS, body | {"config": {}}, 400)["detail"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Knocks!"}, "name"),
        ({"dataset_ids": []}, "dataset_ids"),
        ({"labels": []}, "labels"),
        ({"labels": [""]}, "labels"),
        ({"mode": "extend"}, "mode"),
        ({"holdout": {}}, "holdout"),
        ({"holdout": {"share": 0.9}}, "holdout.share"),
        ({"holdout": {"share": 0.2, "dataset_ids": ["a"]}}, "holdout"),
        ({"seed": -1}, "seed"),
        ({"max_false_alarms_per_hour": 0}, "max_false_alarms_per_hour"),
        ({"epochs": 3}, "epochs"),
        ({"config": {"validation_split": 0.9}}, "config.validation_split"),
        ({"annotation_set_ids": "v1"}, "annotation_set_ids"),
        ({"callback_url": "ftp://127.0.0.1/"}, "callback_url"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_by_its_field(api: Api, change: dict[str, Any], field: str) -> None:
    body = {"name": "knocks", "dataset_ids": [UNKNOWN_ID], "labels": ["knock"]} | change
    assert field in api.post(JOBS, body, 400)["detail"]


def test_datasets_of_others_are_not_there(api: Api, other: Api) -> None:
    mine, others = (new_dataset(client).rpartition("/")[2] for client in (api, other))
    for ids, field in (([mine, others], "dataset_ids"), ([UNKNOWN_ID], "dataset_ids")):
        body = {"name": "knocks", "dataset_ids": ids, "labels": ["knock"]}
        for query in ({}, {"dry_run": True}):
            assert api.post(JOBS, body, 404, params=query)["detail"].startswith(f"{field}: There is no dataset")
    held_out = {"name": "a", "dataset_ids": [mine], "labels": ["knock"], "holdout": {"dataset_ids": [others]}}
    assert api.post(JOBS, held_out, 404)["detail"].startswith("holdout: There is no dataset")


def test_trainings_are_listed_and_cancelled(appliance: Appliance, api: Api) -> None:
    client = appliance.api_of("trainings", "trainings")
    tenant_id = tenant_of(appliance.data_dir, "trainings")
    first, second = (add_training(appliance.data_dir, tenant_id, "knocks") for _ in range(2))
    page = client.get(JOBS, params={"limit": 1})
    assert [job["id"] for job in page["items"]] == [second]
    assert (page["items"][0]["status"], page["items"][0]["model_id"]) == ("completed", "knocks@2.0.0")
    rest = client.get(JOBS, params={"cursor": page["next_cursor"]})
    assert [job["id"] for job in rest["items"]] == [first]
    assert client.get(JOBS, params={"status": "queued"})["items"] == []
    assert client.get(f"{JOBS}/{first}") == rest["items"][0]
    assert client.post(f"{JOBS}/{first}/cancel", None) == rest["items"][0]  # it has ended
    assert client.get(f"{JOBS}/{first}/report") == {"report": {}}
    for path in (f"{JOBS}/{first}", f"{JOBS}/{first}/report"):
        api.get(path, 404)
    api.post(f"{JOBS}/{first}/cancel", None, 404)
