"""``appliance bulk`` over buckets of both storage servers, with names that the appliance itself never gives."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest
from minio import Minio

from appliance.storage.local_server import free_ports
from appliance.storage.seam import connection_pool, s3_client
from tests.cli.conftest import Run
from tests.support.servers import RunningStorage
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

pytestmark = pytest.mark.slow

ODD_NAMES = (
    "a b/two  spaces.wav",
    "year=2026/Größe 音.wav",
    "100%/plus+and&more.wav",
    "quote'd (1) [x] {y} ~#?;:@!$,*.wav",
    "e\u0301.WAV",
)


@pytest.fixture
def client(run: Run, storage: RunningStorage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Minio]:
    """A client of a storage server that the settings name, whose objects are removed afterwards."""
    access = storage.access
    monkeypatch.setenv("APPLIANCE_STORAGE_ENDPOINT", access.endpoint)
    monkeypatch.setenv("APPLIANCE_STORAGE_ACCESS_KEY", access.service.access_key)
    monkeypatch.setenv("APPLIANCE_STORAGE_SECRET_KEY", access.service.secret_key)
    client = s3_client(access.endpoint, access.region, access.service, connection_pool())
    yield client
    for item in client.list_objects("audio", "bulk/", recursive=True):
        client.remove_object("audio", str(item.object_name))


def put(client: Minio, key: str, content: bytes) -> None:
    client.put_object("audio", key, io.BytesIO(content), len(content))


def get(client: Minio, key: str) -> bytes:
    with client.get_object("audio", key) as response:
        return response.read()


def rows(client: Minio) -> dict[str, dict]:
    tables = [item.object_name for item in client.list_objects("audio", "bulk/out/detections/")]
    return {row["key"]: row for key in tables for row in pq.read_table(io.BytesIO(get(client, key))).to_pylist()}


def test_a_prefix_becomes_shards_of_rows(run: Run, client: Minio) -> None:
    for name in (*ODD_NAMES, "gone.wav", "changed.wav"):
        put(client, f"bulk/in/{name}", loud_wav())
    put(client, "bulk/in/notes.txt", b"no recording")
    put(client, "bulk/in/bad.wav", b"Dear Sir or Madam")
    assert (
        "8 recordings" in run("bulk", "plan", "s3://audio/bulk/in/", "s3://audio/bulk/out", "--shard-files", 3).output
    )
    client.remove_object("audio", "bulk/in/gone.wav")
    put(client, "bulk/in/changed.wav", loud_wav(100))
    assert "8 of 8 recordings, 3 failed" in run("bulk", "run", "s3://audio/bulk/out", code=1).output
    results = rows(client)
    assert {key: row["error_code"] for key, row in results.items() if row["error_code"]} == {
        "bulk/in/gone.wav": "object_missing",
        "bulk/in/changed.wav": "object_changed",
        "bulk/in/bad.wav": "corrupt_audio",
    }
    for name in ODD_NAMES:
        assert results[f"bulk/in/{name}"]["detections"] == LOUD_DETECTIONS
    run("bulk", "verify", "s3://audio/bulk/out")

    shard = "bulk/out/detections/000001.parquet"
    before = get(client, shard)
    client.remove_object("audio", shard)
    assert "2 of 3 shards" in run("bulk", "status", "s3://audio/bulk/out").output
    run("bulk", "run", "s3://audio/bulk/out", code=1)
    assert get(client, shard) == before
    assert "another plan: source" in run("bulk", "plan", "s3://audio/other", "s3://audio/bulk/out", code=1).stderr


def test_a_storage_that_is_away_ends_the_run_and_fails_no_recording(
    run: Run, client: Minio, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, "bulk/in/a.wav", loud_wav())
    run("bulk", "plan", "s3://audio/bulk/in", "out")
    with monkeypatch.context() as away:
        away.setenv("APPLIANCE_STORAGE_ENDPOINT", f"http://127.0.0.1:{free_ports(1)[0]}")
        assert "did not respond" in run("bulk", "run", "out", code=1).stderr
    with monkeypatch.context() as locked_out:
        locked_out.setenv("APPLIANCE_STORAGE_READ_ACCESS_KEY", "UNKNOWN")
        locked_out.setenv("APPLIANCE_STORAGE_READ_SECRET_KEY", "unknown")
        assert "refused" in run("bulk", "run", "out", code=1).stderr
    assert "0 of 1 shards" in run("bulk", "status", "out").output
    assert "1 of 1 recordings, 0 failed" in run("bulk", "run", "out").output


def test_a_bucket_needs_its_settings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "needs storage_endpoint" in run("bulk", "plan", "s3://audio/in", "out", code=1).stderr
    assert "names no bucket" in run("bulk", "plan", "s3:///in", "out", code=1).stderr
