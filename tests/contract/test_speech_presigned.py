"""The presigned route: the client puts a file, and an event from storage starts the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from appliance.storage.access import StorageAccess, load_access
from tests.contract.test_speech_raw import assert_sample_text
from tests.support.appliances import Api, Appliance, bundled_storage, children, kill, running_appliance, wait_for
from tests.support.receivers import Receiver
from tests.support.speech_sample import SAMPLE as SPEECH
from tests.support.toy_recordings import LOUD_DURATION_MS, loud_wav

NEVER = 3600
LOUD = [{"artifactType": "loud", "startMs": 1160, "endMs": 1742, "confidence": 1.0, "source": "model"}]


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance that never sweeps, so that only an event from storage can start work."""
    settings = {
        "webhook_networks": '["127.0.0.0/8"]',
        "webhook_retry_seconds": str([0.1] * 50),
        "sweep_seconds": 1 if "TEST_STORAGE" in os.environ else NEVER,  # storage elsewhere sends no events
        "max_upload_bytes": 1_000_000,
    }
    folder = tmp_path_factory.mktemp("putting")
    with running_appliance(folder, models, storage_server="minio", **settings) as running:
        yield running


@pytest.fixture
def access(appliance: Appliance) -> StorageAccess:
    return load_access(appliance.data_dir)


def request_url(api: Api, status: int = 200, **changes: Any) -> Any:
    body = {"fileName": "Gr\u00f6\u00dfe.wav", "contentType": "audio/wav", "modelId": "loud-frames"} | changes
    return api.post("/api/generate-presigned-url", {k: v for k, v in body.items() if v is not None}, status)


def put(url: str, content: bytes, status: int = 200) -> None:
    """Put a file, as the Python on the reference page does."""
    response = requests.put(url, data=content, headers={"Content-Type": "audio/wav"})
    assert response.status_code == status, response.text


def get(api: Api, transcription_id: str, status: int = 200) -> Any:
    return api.get("/api/get-transcription", status, params={"transcriptionId": transcription_id})


def finished(api: Api, transcription_id: str) -> Any:
    def ended() -> Any:
        transcription = get(api, transcription_id)
        return transcription if transcription["status"] in ("completed", "failed") else None

    return wait_for(ended)


def test_a_put_file_is_processed_without_a_confirm(api: Api) -> None:
    upload = request_url(api)
    assert set(upload) == {"presignedUrl", "transcriptionId", "requestId", "expiresIn"}
    assert upload["expiresIn"] == 3600
    waiting = get(api, upload["transcriptionId"])
    assert (waiting["status"], waiting["fileName"], waiting["error"]) == ("pending", "Gr\u00f6\u00dfe.wav", None)
    put(upload["presignedUrl"], loud_wav())
    result = finished(api, upload["transcriptionId"])
    assert (result["status"], result["detections"], result["durationMs"]) == ("completed", LOUD, LOUD_DURATION_MS)
    assert (result["modelId"], result["text"], result["error"]) == ("loud-frames@1.0.0", None, None)


def test_speech_is_transcribed_if_no_model_is_named(api: Api, receiver: Receiver) -> None:
    upload = request_url(api, modelId=None, contentType="audio/flac", callbackUrl=f"{receiver.url}/text")
    put(upload["presignedUrl"], SPEECH.read_bytes())
    result = finished(api, upload["transcriptionId"])
    assert_sample_text(result["text"])
    assert result["detections"] is None
    assert set(result["segments"][0]) == {"text", "startMs", "endMs"}
    assert " ".join(word["text"] for word in result["words"]) == result["text"]
    [call] = wait_for(lambda: receiver.calls_to("/text"))
    assert call.event["data"] | {"callback": result["callback"]} == result


def test_the_configuration_decides_what_is_detected(api: Api) -> None:
    upload = request_url(api, config={"min_duration_ms": 1000})
    put(upload["presignedUrl"], loud_wav())
    assert finished(api, upload["transcriptionId"])["detections"] == []


def test_the_result_is_posted_to_the_callback(api: Api, receiver: Receiver) -> None:
    upload = request_url(api, callbackUrl=f"{receiver.url}/done")
    put(upload["presignedUrl"], loud_wav())
    [call] = wait_for(lambda: receiver.calls_to("/done"))
    event = call.verified(api.get("/api/v1/webhooks/secret")["secret"])
    assert event["type"] == "transcription.completed"
    result = get(api, upload["transcriptionId"])
    assert event["data"] | {"callback": result["callback"]} == result
    assert event["data"]["detections"] == LOUD


def test_an_undecodable_file_is_reported_to_the_callback(api: Api, receiver: Receiver) -> None:
    upload = request_url(api, callbackUrl=f"{receiver.url}/done")
    put(upload["presignedUrl"], b"this is no recording")
    [call] = wait_for(lambda: receiver.calls_to("/done"))
    assert (call.event["type"], call.event["data"]["errorCode"]) == ("transcription.failed", "corrupt_audio")
    assert get(api, upload["transcriptionId"])["status"] == "failed"


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_can_put_a_file(api: Api, tmp_path: Path, version: str) -> None:
    """With --http2, curl asks for an upgrade in the same request, as Java's client does by default."""
    upload = request_url(api)
    (tmp_path / "take.wav").write_bytes(loud_wav())
    command = ["curl", "-sS", "--fail", version, "-X", "PUT", "-H", "Content-Type: audio/wav", "--data-binary"]
    subprocess.run([*command, f"@{tmp_path / 'take.wav'}", upload["presignedUrl"]], check=True, capture_output=True)
    assert finished(api, upload["transcriptionId"])["detections"] == LOUD


def test_a_bearer_key_is_accepted(appliance: Appliance) -> None:
    body = {"fileName": "a.wav", "contentType": "audio/wav", "modelId": "loud-frames"}
    url = f"{appliance.url}/api/generate-presigned-url"
    headers = {"Authorization": f"Bearer {appliance.key}"}
    assert requests.post(url, json=body, headers=headers).status_code == 200
    assert requests.post(url, json=body, headers={"Authorization": "Bearer no"}).status_code == 401
    assert requests.post(url, json=body).status_code == 401


def test_a_transcription_of_another_tenant_is_a_404(appliance: Appliance, api: Api) -> None:
    upload = request_url(api)
    other_tenant = appliance.api_of(str(uuid.uuid4()), "stranger")
    assert get(other_tenant, upload["transcriptionId"], 404)["code"] == "not_found"
    assert get(api, "nothing", 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("changes", "prefix"),
    [
        ({"contentType": "text/plain"}, "contentType: "),
        ({"contentType": None}, "contentType, mimeType: "),
        ({"mimeType": "audio/flac"}, "contentType, mimeType: "),
        ({"contentType": None, "mimeType": "text/plain"}, "mimeType: "),
        ({"modelId": "nobody"}, "modelId: "),
        ({"modelId": "spectrum"}, "modelId: "),
        ({"callbackUrl": "ftp://127.0.0.1/"}, "callbackUrl: "),
        ({"callbackUrl": "http://169.254.169.254/"}, "callbackUrl: "),
        ({"config": {"threshold": 2}}, "config.threshold: "),
        ({"config": {"threshold": 0.2}, "modelId": None}, "config: "),
        ({"language": "en"}, "language: "),
    ],
)
def test_an_invalid_field_is_named(api: Api, changes: dict[str, Any], prefix: str) -> None:
    problem = request_url(api, 400, **changes)
    assert problem["detail"].startswith(prefix)


def test_a_url_allows_only_to_put_its_own_object(api: Api) -> None:
    first, second = request_url(api)["presignedUrl"], request_url(api)["presignedUrl"]
    path, query = urlsplit(second).path, urlsplit(first).query
    put(f"{api.url}{path}?{query}", loud_wav(), 403)
    put(first, loud_wav())
    assert requests.get(first).status_code == 403


def test_a_file_far_over_the_limit_is_refused_by_the_front_door(api: Api) -> None:
    upload = request_url(api)
    put(upload["presignedUrl"], b"x" * 2_100_000, 413)
    assert get(api, upload["transcriptionId"])["status"] == "pending"


def test_a_file_just_over_the_limit_is_refused_at_once(api: Api) -> None:
    upload = request_url(api)
    response = requests.put(upload["presignedUrl"], data=b"x" * 1_000_001)
    assert (response.status_code, response.json()["code"]) == (413, "file_too_large")
    assert response.json()["title"] == "Content Too Large"  # as in the API's own 413
    put(upload["presignedUrl"], loud_wav())
    assert finished(api, upload["transcriptionId"])["status"] in ("completed", "failed")


def test_an_empty_file_fails(api: Api) -> None:
    upload = request_url(api)
    put(upload["presignedUrl"], b"")
    result = finished(api, upload["transcriptionId"])
    assert (result["status"], result["errorCode"]) == ("failed", "empty_file")


@bundled_storage
def test_only_storage_may_report_arrivals(appliance: Appliance, api: Api, access: StorageAccess) -> None:
    """The port of the listener takes its token alone and does not serve the API. The front door does not lead to it."""
    listener = f"http://127.0.0.1:{access.arrivals_port}"
    command = (
        "import sys, urllib3; print(urllib3.request(*sys.argv[1:3], headers={'Authorization': sys.argv[3]}).status)"
    )

    def status(method: str, url: str, authorization: str) -> int:
        """In a process of its own, because these responses are not in the OpenAPI document."""
        request = [sys.executable, "-c", command, method, url, authorization]
        return int(subprocess.run(request, check=True, capture_output=True, text=True).stdout)

    assert status("POST", f"{listener}/arrivals", f"Bearer {access.arrivals_token}") == 204
    assert status("POST", f"{listener}/arrivals", "Bearer no") == 401
    assert status("POST", f"{listener}/arrivals", "") == 401
    assert status("GET", f"{listener}/healthz", "") == 404
    assert status("GET", f"{listener}/api/v1/models", appliance.key) == 404
    assert status("POST", f"{api.url}/arrivals", f"Bearer {access.arrivals_token}") == 404


@bundled_storage
def test_the_appliance_does_not_call_its_own_listener(api: Api, access: StorageAccess) -> None:
    assert (
        "the appliance itself"
        in request_url(api, 400, callbackUrl=f"http://127.0.0.1:{access.arrivals_port}/arrivals")["detail"]
    )
    assert "the appliance itself" in request_url(api, 400, callbackUrl=f"{access.endpoint}/audio")["detail"]


def freeze_api(appliance: Appliance) -> list[int]:
    """Stop the processes of the API, so that they receive no event. Returns their process ids."""
    master = appliance.pid("api")
    pids = [master, *children(master)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def test_an_api_killed_between_put_and_event_loses_nothing(appliance: Appliance, api: Api) -> None:
    upload = request_url(api)
    pids = freeze_api(appliance)
    put(upload["presignedUrl"], loud_wav())
    kill(*pids)
    wait_for(lambda: appliance.pid("api") not in (0, pids[0]))
    wait_for(appliance.ready)
    assert finished(api, upload["transcriptionId"])["detections"] == LOUD


def test_a_file_put_before_everything_was_killed_is_processed_at_the_next_start(tmp_path: Path, models: Path) -> None:
    """Storage sends the event that it stored on disk. If it was killed before that, the sweep finds the file."""
    with running_appliance(tmp_path, models, storage_server="minio", sweep_seconds=NEVER) as first:
        upload = request_url(first.api)
        pids = freeze_api(first)
        put(upload["presignedUrl"], loud_wav())
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        kill(*pids[1:])
    with running_appliance(tmp_path, models, storage_server="minio") as second:
        assert finished(Api(second.url, first.key), upload["transcriptionId"])["detections"] == LOUD


def test_the_sweep_finds_uploads_without_an_event_and_fails_uploads_that_never_came(
    tmp_path: Path, models: Path
) -> None:
    """Storage is SeaweedFS, which sends no events."""
    settings = {"upload_expires_seconds": 8, "upload_grace_seconds": 1}
    with running_appliance(tmp_path, models, storage_server="seaweedfs", **settings) as running:
        api = running.api
        with_file, without_file = request_url(api), request_url(api)
        put(with_file["presignedUrl"], loud_wav())
        assert finished(api, with_file["transcriptionId"])["detections"] == LOUD
        failed = finished(api, without_file["transcriptionId"])
        assert (failed["status"], failed["errorCode"]) == ("failed", "not_uploaded")
        assert failed["error"] == "The file was never uploaded."
