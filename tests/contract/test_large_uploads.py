"""Uploads over 64 MiB, which the worker copies after their confirm: replaced, deleted, and with processes killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from appliance.storage.access import load_access
from appliance.storage.objects import ObjectStore
from tests.contract.test_crashes import pause_worker, restarted
from tests.contract.test_datasets import Dataset
from tests.support.appliances import Api, Appliance, bundled_storage, post_form, running_appliance, wait_for
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

CONTENT = loud_wav() + bytes(65 * 1024**2)
OTHER = CONTENT[:-1] + b"!"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance whose leases last five seconds."""
    folder = tmp_path_factory.mktemp("large")
    with running_appliance(folder, models, storage_server="minio", lease_seconds=5) as running:
        yield running


@contextmanager
def confirmed(appliance: Appliance) -> Iterator[tuple[str, Any]]:
    """A confirmed upload that the worker has not copied, because it is stopped. Yields the job and the form."""
    api = appliance.api
    wait_for(appliance.ready)
    job_id = api.make_job()
    form = api.request_upload(job_id, len(CONTENT))
    post_form(form, CONTENT)
    worker = pause_worker(appliance)
    try:
        assert api.confirm(job_id, form["file_id"])["status"] == "queued"
        yield job_id, form
    finally:
        if appliance.pid("worker") == worker:
            os.kill(worker, signal.SIGCONT)


def stored_keys(appliance: Appliance, part: str) -> list[str]:
    store = ObjectStore(load_access(appliance.data_dir))
    return [stored.key for stored in store.list("", 1000) if part in stored.key]


def download_url(api: Api, job_id: str, file_id: str, status: int = 200) -> Any:
    return api.get(f"/api/v1/inference-jobs/{job_id}/files/{file_id}/download-url", status)


def test_a_confirm_does_not_wait_for_the_copy(appliance: Appliance, api: Api) -> None:
    with confirmed(appliance) as (job_id, form):
        file_id = form["file_id"]
        problem = download_url(api, job_id, file_id, 409)
        assert (problem["code"], "being copied" in problem["detail"]) == ("not_ready", True)
        assert api.file(job_id, file_id)["status"] == "queued"
    assert api.finished_file(job_id, file_id)["detections"] == LOUD_DETECTIONS
    assert requests.get(download_url(api, job_id, file_id)["url"]).content == CONTENT
    assert f"incoming/tenant-1/{file_id}" not in stored_keys(appliance, file_id)


def test_an_upload_that_is_replaced_before_its_copy_is_neither_processed_nor_served(
    appliance: Appliance, api: Api
) -> None:
    with confirmed(appliance) as (job_id, form):
        post_form(form, OTHER)
        file_id = form["file_id"]
    file = api.finished_file(job_id, file_id)
    assert (file["status"], file["error_code"]) == ("failed", "object_changed")
    assert file["error_message"].startswith("The upload of 'take.wav' was replaced by other bytes after it was confirm")
    assert download_url(api, job_id, file_id, 409)["code"] == "not_uploaded"
    assert "replaced by other bytes" in api.confirm(job_id, file_id, 409)["detail"]
    wait_for(lambda: not stored_keys(appliance, file_id))


def test_a_file_that_is_deleted_before_its_copy_leaves_no_object(appliance: Appliance, api: Api) -> None:
    with confirmed(appliance) as (job_id, form):
        path = f"/api/v1/inference-jobs/{job_id}/files/{form['file_id']}"
        assert api.response("DELETE", path).status_code == 204
    wait_for(lambda: not stored_keys(appliance, form["file_id"]))


@pytest.mark.parametrize("name", ["worker", "api", pytest.param("storage", marks=bundled_storage)])
def test_a_process_that_is_killed_before_or_during_the_copy_loses_nothing(
    appliance: Appliance, api: Api, name: str
) -> None:
    with confirmed(appliance) as (job_id, form):
        killed = appliance.kill(name)
    wait_for(lambda: restarted(appliance, name, killed))
    wait_for(appliance.ready)
    assert api.finished_file(job_id, form["file_id"])["detections"] == LOUD_DETECTIONS
    assert requests.get(download_url(api, job_id, form["file_id"])["url"]).content == CONTENT


def test_audio_of_a_dataset_is_copied_in_the_same_way(api: Api) -> None:
    dataset = Dataset(api)
    audio_id = dataset.send_and_wait(CONTENT)
    assert dataset.download(audio_id).content == CONTENT
