"""Forms that expire and uploads that nobody confirms. Forms last eight seconds here, or until a test ends them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from appliance.state.database import Database
from tests.support.appliances import Api, Appliance, on_seaweedfs, post_form, running_appliance, wait_for
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

JOBS = "/api/v1/inference-jobs"
SECONDS = 8
PUBLIC = "https://box.example:8443"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance whose forms last eight seconds and whose public URL is another one."""
    folder = tmp_path_factory.mktemp("expiring")
    settings = {"upload_expires_seconds": SECONDS, "upload_grace_seconds": 1, "public_url": PUBLIC}
    with running_appliance(folder, models, storage_server="minio", **settings) as running:
        yield running


def expire(appliance: Appliance, file_id: str) -> None:
    """Let the time of an upload be over now, for the appliance: storage still takes its form."""
    with Database(appliance.data_dir / "appliance.db").transaction() as tx:
        tx.change("UPDATE inference_files SET upload_expires_at = 1 WHERE id = ?", [file_id])


def test_a_form_that_expires_unused_fails_its_file_and_ends_the_job(api: Api) -> None:
    job_id = api.make_job()
    form = api.request_upload(job_id, 100)
    assert form["expires_in"] == SECONDS
    job = api.finished_job(job_id)
    file = job["files"][0]
    assert (job["status"], file["status"], file["error_code"]) == ("failed", "failed", "not_uploaded")
    assert "not uploaded" in file["error_message"]
    assert "not uploaded" in job["error_message"]
    assert api.confirm(job_id, form["file_id"], 409)["code"] == "not_uploaded"
    form["upload_url"] = form["upload_url"].replace(PUBLIC, api.url)
    post_form(form, b"x" * 100, 403)


def test_an_upload_that_nobody_confirmed_is_queued_by_the_sweep(appliance: Appliance, api: Api) -> None:
    job_id = api.make_job()
    content = loud_wav()
    form = api.request_upload(job_id, len(content))
    form["upload_url"] = form["upload_url"].replace(PUBLIC, api.url)
    post_form(form, content)
    expire(appliance, form["file_id"])
    job = api.finished_job(job_id)
    assert (job["status"], job["files"][0]["detections"]) == ("completed", LOUD_DETECTIONS)


@pytest.mark.skipif(on_seaweedfs, reason="SeaweedFS refuses an upload whose form expired before its body ended")
def test_an_upload_that_ends_long_after_its_form_expired_is_accepted(appliance: Appliance, api: Api) -> None:
    job_id = api.make_job()
    content = loud_wav() + bytes(2_000_000)  # storage checks the form after its first buffer
    form = api.request_upload(job_id, len(content))
    url = form["upload_url"].replace(PUBLIC, api.url)
    body = requests.Request("POST", url, data=form["upload_fields"], files={"file": ("take", content)}).prepare()
    assert isinstance(body.body, bytes)

    class UntilItFailed:
        """The body, whose last kB waits until the file failed because nothing was uploaded in time."""

        def __len__(self) -> int:
            return len(body.body or b"")

        def __iter__(self) -> Iterator[bytes]:
            assert isinstance(body.body, bytes)
            yield body.body[:-1000]
            assert api.finished_file(job_id, form["file_id"])["error_code"] == "not_uploaded"
            yield body.body[-1000:]

    headers = {"Content-Type": body.headers["Content-Type"]}
    assert requests.post(url, data=UntilItFailed(), headers=headers).status_code == 204
    api.confirm(job_id, form["file_id"])
    assert api.finished_file(job_id, form["file_id"])["status"] == "completed"


def test_an_upload_of_another_size_is_refused_and_its_file_fails(appliance: Appliance, api: Api) -> None:
    job_id = api.make_job()
    form = api.request_upload(job_id, 100)
    form["upload_url"] = form["upload_url"].replace(PUBLIC, api.url)
    post_form(form, b"x" * 99, 400)
    expire(appliance, form["file_id"])
    file = api.finished_job(job_id)["files"][0]
    assert (file["status"], file["error_code"]) == ("failed", "not_uploaded")


def test_a_cancelled_file_stays_cancelled_when_its_form_expires(appliance: Appliance, api: Api) -> None:
    job_id = api.make_job()
    form = api.request_upload(job_id, 100)
    job = api.cancel(job_id)
    expire(appliance, form["file_id"])
    later = api.make_job()
    expire(appliance, api.request_upload(later, 100)["file_id"])
    api.finished_job(later)  # so the sweep has run
    assert api.job(job_id) == job
    assert api.confirm(job_id, form["file_id"], 409)["code"] == "job_cancelled"


def test_every_url_begins_with_the_public_url(api: Api) -> None:
    job_id = api.make_job()
    content = loud_wav()
    form = api.request_upload(job_id, len(content))
    assert form["upload_url"] == f"{PUBLIC}/audio"
    post_form(form | {"upload_url": f"{api.url}/audio"}, content)
    url = api.get(f"{JOBS}/{job_id}/files/{form['file_id']}/download-url")["url"]
    assert url.startswith(f"{PUBLIC}/audio/")
    local_url = url.replace(PUBLIC, api.url)
    assert requests.get(local_url).content == content
    wait_for(lambda: requests.get(local_url).status_code == 403)  # it expires like the form
