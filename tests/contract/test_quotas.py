"""Quotas of tenants, as clients meet them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import soundfile

from tests.support.appliances import Appliance, post_form, running_appliance, wait_for

MEBIBYTE = 1024**2


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance whose tenants may store 20 MiB and have three uploads in flight."""
    folder = tmp_path_factory.mktemp("quotas")
    quotas = {"tenant_stored_bytes": 20 * MEBIBYTE, "tenant_pending_uploads": 3}
    with running_appliance(folder, models, storage_server="minio", **quotas) as running:
        yield running


def used(appliance: Appliance, name: str) -> float:
    quotas = appliance.api.get("/api/v1/usage")["quotas"]
    return next(quota["used"] for quota in quotas if quota["name"] == name)


def silence(seconds: int) -> bytes:
    """A FLAC of silence: an hour takes 0.4 MB, and 115 MB as a 16 kHz WAV."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 16_000, 1, "PCM_16", format="FLAC") as flac:
        for _ in range(seconds):
            flac.write(np.zeros(16_000, np.int16))
    return file.getvalue()


def test_a_small_file_cannot_become_more_than_the_quota(appliance: Appliance) -> None:
    api, content = appliance.api, silence(3600)
    assert len(content) < MEBIBYTE
    dataset = f"/api/v1/datasets/{api.post('/api/v1/datasets', {'name': 'd'}, 201)['id']}/audio"
    body = {"filename": "a.flac", "content_type": "audio/flac", "file_size": len(content)}
    form = api.post(f"{dataset}/upload-url", body)
    post_form({"upload_url": form["upload_url"], "upload_fields": form["fields"]}, content)
    api.post(f"{dataset}/confirm", {"audio_id": form["audio_id"]})
    audio = wait_for(lambda: (it := api.get(f"{dataset}/{form['audio_id']}"))["processing_status"] == "failed" and it)
    assert "tenant_stored_bytes" in audio["processing_error"]
    assert used(appliance, "tenant_stored_bytes") == len(content)


def test_uploads_in_flight_and_bytes_are_a_429_that_names_the_limit(appliance: Appliance) -> None:
    api = appliance.api
    job_id = api.make_job()
    for _ in range(3):
        api.request_upload(job_id, 100)
    refused = api.response(
        "POST",
        f"/api/v1/inference-jobs/{job_id}/files/upload-url",
        json={"filename": "a.wav", "content_type": "audio/wav", "file_size_bytes": 100},
    )
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert refused.json()["code"] == "quota_exceeded"
    assert "tenant_pending_uploads: 3 of 3 are in use" in refused.json()["detail"]
    assert api.response("DELETE", f"/api/v1/inference-jobs/{job_id}?purge=true").status_code == 204
    assert used(appliance, "tenant_pending_uploads") == 0
    large = api.request_upload(api.make_job(), 30 * MEBIBYTE, status=429)
    assert "tenant_stored_bytes" in large["detail"]


def test_a_stream_of_unknown_length_ends_at_the_quota(appliance: Appliance) -> None:
    key = {"Authorization": str(appliance.key)}
    before = used(appliance, "tenant_stored_bytes")
    blocks = (bytes(MEBIBYTE) for _ in range(100))
    # The API closes the connection at the limit; the front door may then see only that.
    response = requests.post(f"{appliance.url}/v2/upload", data=blocks, headers=key)
    assert response.status_code in (429, 503)
    wait_for(lambda: used(appliance, "tenant_stored_bytes") == before)
