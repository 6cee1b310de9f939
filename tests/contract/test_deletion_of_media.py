"""Deleting recordings of the speech routes, by a client or by time: their objects leave the disk of the appliance."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.contract.test_speech_batch import BatchClient
from tests.contract.test_speech_raw import RawClient
from tests.contract.test_uploads_and_deletion import objects_in
from tests.support.appliances import Api, Appliance, running_appliance, wait_for
from tests.support.toy_recordings import loud_wav

JOBS = "/api/v1/inference-jobs"


def test_a_raw_upload_is_gone_with_its_last_transcript(api: Api, appliance: Appliance) -> None:
    raw = RawClient(api.url, api.key or "")
    url = raw.upload(loud_wav())
    media_id = url.rpartition("/")[2]
    transcript = raw.finished_transcript(raw.request_transcript(url)["id"])
    assert objects_in(appliance, media_id)
    raw.call("DELETE", f"/transcript/{transcript['id']}")
    wait_for(lambda: not objects_in(appliance, media_id))


def test_a_file_of_a_batch_is_gone_with_its_transcripts(api: Api, appliance: Appliance, other: Api) -> None:
    batches = BatchClient(api.url, api.key or "")
    receipt = batches.upload(("a.wav", loud_wav()), ("b.wav", loud_wav()))
    batches.finished_upload(receipt["batch_upload_id"])
    batch = batches.transcribe(batch_upload_id=receipt["batch_upload_id"])
    first, second = (file["file_id"] for file in receipt["files"])
    assert objects_in(appliance, first)
    BatchClient(other.url, other.key or "").call("DELETE", f"/files/{first}", 404)
    assert batches.call("DELETE", f"/files/{first}") == {
        "deleted_file_ids": [first],
        "deleted_count": 1,
        "storage_objects_deleted": 1,
        "jobs_cleaned": 1,
    }
    wait_for(lambda: not objects_in(appliance, first))
    batches.call("GET", f"/results/file/{first}", 404)
    batches.call("DELETE", f"/files/{first}", 404)
    assert batches.call("GET", f"/status/batch/{batch['batch_id']}")["total_files"] == 1
    batches.call("DELETE", "/files", 404, json={"file_ids": [second, first]})  # all of them, or none
    assert objects_in(appliance, second)
    assert batches.call("DELETE", "/files", json={"file_ids": [second]})["deleted_count"] == 1
    wait_for(lambda: not objects_in(appliance, second))
    batches.call("GET", f"/status/batch/{batch['batch_id']}", 404)


def test_a_transcription_of_the_presigned_route_is_gone_with_its_file(api: Api, appliance: Appliance) -> None:
    upload = api.post("/api/generate-presigned-url", {"contentType": "audio/wav", "modelId": "loud-frames"})
    assert requests.put(upload["presignedUrl"], data=loud_wav()).status_code == 200
    path = f"/api/get-transcription?transcriptionId={upload['transcriptionId']}"
    wait_for(lambda: api.get(path)["status"] == "completed")
    media_id = urlsplit(upload["presignedUrl"]).path.rpartition("/")[2]
    assert objects_in(appliance, media_id)
    assert api.response("DELETE", path).status_code == 204
    api.get(path, 404)
    assert api.response("DELETE", path).status_code == 404
    wait_for(lambda: not objects_in(appliance, media_id))


def test_retention_deletes_the_original_and_keeps_the_result(tmp_path: Path, models: Path) -> None:
    second = 1 / 86_400
    with running_appliance(tmp_path, models, storage_server="minio", retention_originals_days=second) as running:
        api = running.api
        job_id = api.make_job()
        file_id = api.send(job_id, loud_wav())
        done = api.finished_file(job_id, file_id)
        assert done["status"] == "completed"
        wait_for(lambda: all(path.endswith(("scores", "waveform")) for path in objects_in(running, file_id)))
        assert api.file(job_id, file_id) == done
        gone = api.get(f"{JOBS}/{job_id}/files/{file_id}/download-url", 409)
        assert "no longer stored" in gone["detail"]
