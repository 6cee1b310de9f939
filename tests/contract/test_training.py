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
        "labels: 'knock' has 1 events to learn from and to hold out; 15 are needed.",
        "labels: 'knock' is in 1 groups to learn from and to hold out; 8 are needed.",
        "labels: 'knock' has no reviewed audio without it, to tell it from the rest.",
        "labels: 'hum' is in no annotation of these datasets.",
    ]
    assert plan["counts"]["recordings"] == 1
    assert "knocks" not in [job["name"] for job in api.get(JOBS)["items"]]  # nothing was started


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
