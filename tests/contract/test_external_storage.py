"""The whole flow with storage servers that run elsewhere, over https with a private CA.

The whole contract suite runs with one of them if ``TEST_STORAGE`` is ``minio`` or ``seaweedfs``; docs/scale-out.md has
what came of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from appliance.config import Settings
from appliance.errors import ConfigurationError, StorageError
from appliance.storage.access import load_access
from appliance.storage.external_server import ExternalServer
from appliance.storage.objects import ObjectStore
from appliance.storage.seam import connection_pool, s3_client, translated
from tests.support.appliances import Api, Appliance, running_appliance, wait_for
from tests.support.external_storage import external_storage
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav


@pytest.fixture(scope="module", params=["minio", "seaweedfs"])
def external(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """The settings that lead to each storage server in turn."""
    with external_storage(request.param, tmp_path_factory.mktemp("storage")) as settings:
        yield settings


@pytest.fixture(scope="module")
def appliance(
    external: dict[str, object], tmp_path_factory: pytest.TempPathFactory, models: Path
) -> Iterator[Appliance]:
    """An appliance that uses the storage server."""
    with running_appliance(tmp_path_factory.mktemp("appliance"), models, **external) as running:
        yield running


def test_from_upload_to_detections(appliance: Appliance, api: Api) -> None:
    job_id = api.make_job()
    file_id = api.send(job_id, loud_wav(), name="Größe.wav")
    assert api.finished_file(job_id, file_id)["detections"] == LOUD_DETECTIONS
    url = api.get(f"/api/v1/inference-jobs/{job_id}/files/{file_id}/download-url")["url"]
    assert url.startswith(f"{appliance.url}/")  # through the front door, which trusts the same CA
    assert requests.get(url).content == loud_wav()


def test_a_client_that_asks_for_an_upgrade_to_http2_can_put_a_file(api: Api) -> None:
    """As ``curl --http2`` does."""
    body = {"fileName": "a.wav", "contentType": "audio/wav", "modelId": "loud-frames"}
    url = api.post("/api/generate-presigned-url", body)["presignedUrl"]
    asking = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA"}
    response = requests.put(url, data=loud_wav(), headers={"Content-Type": "audio/wav"} | asking)
    assert response.status_code == 200, response.text


def test_the_read_key_signs_downloads_and_cannot_write(appliance: Appliance, external: dict[str, object]) -> None:
    access = load_access(appliance.data_dir)
    assert access.reader.access_key == external["storage_read_access_key"]
    ObjectStore(access).put("tenant-1/probe", b"abc", content_type="audio/wav")
    pool = connection_pool(access.ca_file)
    reader = s3_client(access.endpoint, access.region, access.reader, pool)
    with reader.get_object("audio", "tenant-1/probe") as response:
        assert response.read() == b"abc"
    with pytest.raises(StorageError, match="AccessDenied"), translated("tenant-1/probe"):
        reader.put_object("audio", "tenant-1/probe", io.BytesIO(b"x"), 1)


def test_a_server_of_another_ca_is_refused(external: dict[str, object], tmp_path: Path) -> None:
    def server(**changes: object) -> ExternalServer:
        return ExternalServer(Settings(data_dir=tmp_path, **(external | changes)))  # type: ignore[arg-type]

    wait_for(server().ready)
    with pytest.raises(StorageError, match="certificate verify failed"):
        server(storage_ca_file=None).prepare()
    assert not server(storage_ca_file=None).ready()
    for name, content, reason in (("gone.pem", None, "No such file"), ("empty.pem", "", "no certificate in PEM")):
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(ConfigurationError, match=f"storage_ca_file: .*{name} cannot be used: .*{reason}"):
            server(storage_ca_file=tmp_path / name)
    with pytest.raises(ConfigurationError, match="needs storage_read_secret_key"):
        server(storage_read_secret_key="")
