"""The door of presigned PUTs: the client puts a file, and storage's own event starts the work."""

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
from tests.contract.spec import Spec
from tests.contract.test_speech_raw import SPEECH, assert_right
from tests.support.appliances import Api, Appliance, children, running_appliance, wait_for
from tests.support.receivers import Receiver, receiving
from tests.support.toy_recordings import LOUD_DURATION_MS, loud_wav

NEVER = 3600
LOUD = [{"artifactType": "loud", "startMs": 1160, "endMs": 1742, "confidence": 1.0}]


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance that never sweeps: what begins here, began by storage's event."""
    settings = {
        "webhook_networks": '["127.0.0.0/8"]',
        "webhook_retry_seconds": str([0.1] * 50),
        "sweep_seconds": NEVER,
        "max_upload_bytes": 1_000_000,
    }
    folder = tmp_path_factory.mktemp("putting")
    with running_appliance(folder, models, storage_server="minio", **settings) as running:
        yield running


@pytest.fixture(scope="module")
def spec(appliance: Appliance) -> Spec:
    """The document of this appliance."""
    return Spec(requests.get(f"{appliance.url}/api/v1/openapi.json").json())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def access(appliance: Appliance) -> StorageAccess:
    return load_access(appliance.data_dir)


def ask(api: Api, status: int = 200, **changed: Any) -> Any:
    body = {"fileName": "Gr\u00f6\u00dfe.wav", "contentType": "audio/wav", "modelId": "loud-frames"} | changed
    return api.post("/api/generate-presigned-url", {k: v for k, v in body.items() if v is not None}, status)


def put(url: str, content: bytes, status: int = 200) -> None:
    """As the page's own Python does."""
    response = requests.put(url, data=content, headers={"Content-Type": "audio/wav"})
    assert response.status_code == status, response.text


def get(api: Api, transcription_id: str, status: int = 200) -> Any:
    return api.get("/api/get-transcription", status, params={"transcriptionId": transcription_id})


def ended(api: Api, transcription_id: str) -> Any:
    def settled() -> Any:
        found = get(api, transcription_id)
        return found if found["status"] in ("completed", "failed") else None

    return wait_for(settled)


def test_a_file_that_was_put_is_worked_on_and_nothing_more_is_said(api: Api) -> None:
    made = ask(api)
    assert set(made) == {"presignedUrl", "transcriptionId", "expiresIn"}
    assert made["expiresIn"] == 3600
    waiting = get(api, made["transcriptionId"])
    assert (waiting["status"], waiting["fileName"], waiting["error"]) == ("pending", "Gr\u00f6\u00dfe.wav", None)
    put(made["presignedUrl"], loud_wav())
    done = ended(api, made["transcriptionId"])
    assert (done["status"], done["detections"], done["durationMs"]) == ("completed", LOUD, LOUD_DURATION_MS)
    assert (done["modelId"], done["text"], done["error"]) == ("loud-frames@1.0.0", None, None)


def test_speech_is_written_down_where_no_model_is_named(api: Api, receiver: Receiver) -> None:
    made = ask(api, modelId=None, contentType="audio/flac", callbackUrl=f"{receiver.url}/text")
    put(made["presignedUrl"], SPEECH.read_bytes())
    done = ended(api, made["transcriptionId"])
    assert_right(done["text"])
    assert done["detections"] is None
    assert set(done["segments"][0]) == {"text", "startMs", "endMs"}
    assert " ".join(word["text"] for word in done["words"]) == done["text"]
    [call] = wait_for(lambda: receiver.calls_to("/text"))
    assert call.event["data"] == done


def test_the_configuration_decides_what_is_detected(api: Api) -> None:
    made = ask(api, config={"min_duration_ms": 1000})
    put(made["presignedUrl"], loud_wav())
    assert ended(api, made["transcriptionId"])["detections"] == []


def test_the_result_is_posted_to_the_callback(api: Api, receiver: Receiver) -> None:
    made = ask(api, callbackUrl=f"{receiver.url}/done")
    put(made["presignedUrl"], loud_wav())
    [call] = wait_for(lambda: receiver.calls_to("/done"))
    event = call.verified(api.get("/api/v1/webhooks/secret")["secret"])
    assert event["type"] == "transcription.completed"
    assert event["data"] == get(api, made["transcriptionId"])
    assert event["data"]["detections"] == LOUD


def test_what_cannot_be_read_is_told_to_the_callback_too(api: Api, receiver: Receiver) -> None:
    made = ask(api, callbackUrl=f"{receiver.url}/done")
    put(made["presignedUrl"], b"this is no recording")
    [call] = wait_for(lambda: receiver.calls_to("/done"))
    assert (call.event["type"], call.event["data"]["errorCode"]) == ("transcription.failed", "corrupt_audio")
    assert get(api, made["transcriptionId"])["status"] == "failed"


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_puts_it(api: Api, tmp_path: Path, version: str) -> None:
    """With --http2 it asks for an upgrade in the same request, as Java's client does unasked."""
    made = ask(api)
    (tmp_path / "take.wav").write_bytes(loud_wav())
    command = ["curl", "-sS", "--fail", version, "-X", "PUT", "-H", "Content-Type: audio/wav", "--data-binary"]
    subprocess.run([*command, f"@{tmp_path / 'take.wav'}", made["presignedUrl"]], check=True, capture_output=True)
    assert ended(api, made["transcriptionId"])["detections"] == LOUD


def test_a_bearer_key_opens_it_too(appliance: Appliance) -> None:
    body = {"fileName": "a.wav", "contentType": "audio/wav", "modelId": "loud-frames"}
    url = f"{appliance.url}/api/generate-presigned-url"
    headers = {"Authorization": f"Bearer {appliance.key}"}
    assert requests.post(url, json=body, headers=headers).status_code == 200
    assert requests.post(url, json=body, headers={"Authorization": "Bearer no"}).status_code == 401
    assert requests.post(url, json=body).status_code == 401


def test_another_tenant_finds_nothing(appliance: Appliance, api: Api) -> None:
    made = ask(api)
    stranger = appliance.api_of(str(uuid.uuid4()), "stranger")
    assert get(stranger, made["transcriptionId"], 404)["code"] == "not_found"
    assert get(api, "nothing", 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"contentType": "text/plain"}, "contentType: "),
        ({"fileName": None}, "fileName: "),
        ({"modelId": "nobody"}, "modelId: "),
        ({"modelId": "spectrum"}, "modelId: "),
        ({"callbackUrl": "ftp://127.0.0.1/"}, "callbackUrl: "),
        ({"callbackUrl": "http://169.254.169.254/"}, "callbackUrl: "),
        ({"config": {"threshold": 2}}, "config.threshold: "),
        ({"config": {"threshold": 0.2}, "modelId": None}, "config: "),
        ({"language": "en"}, "language: "),
    ],
)
def test_what_is_wrong_is_named(api: Api, changed: dict[str, Any], named: str) -> None:
    problem = ask(api, 400, **changed)
    assert problem["detail"].startswith(named)


def test_a_url_opens_its_own_key_to_put_and_nothing_else(api: Api) -> None:
    mine, other = ask(api)["presignedUrl"], ask(api)["presignedUrl"]
    path, query = urlsplit(other).path, urlsplit(mine).query
    put(f"{api.url}{path}?{query}", loud_wav(), 403)
    put(mine, loud_wav())
    assert requests.get(mine).status_code == 403


def test_too_large_a_file_is_stopped_at_the_door(api: Api) -> None:
    made = ask(api)
    put(made["presignedUrl"], b"x" * 2_100_000, 413)
    assert get(api, made["transcriptionId"])["status"] == "pending"


def test_a_file_that_the_door_let_by_is_refused_when_it_is_here(appliance: Appliance, api: Api) -> None:
    """The door leaves room for a form around the file, which a PUT does not have."""
    made = ask(api)
    put(made["presignedUrl"], b"x" * 1_000_001)
    done = ended(api, made["transcriptionId"])
    assert (done["status"], done["errorCode"]) == ("failed", "file_too_large")
    folder = appliance.data_dir / "objects" / "minio" / urlsplit(made["presignedUrl"]).path.strip("/")
    wait_for(lambda: not folder.exists())


def test_an_empty_file_fails(api: Api) -> None:
    made = ask(api)
    put(made["presignedUrl"], b"")
    done = ended(api, made["transcriptionId"])
    assert (done["status"], done["errorCode"]) == ("failed", "empty_file")


def test_only_storage_may_tell_of_arrivals(appliance: Appliance, api: Api, access: StorageAccess) -> None:
    """The listener's port knows the token and nothing of the API; the front door knows nothing of the listener."""
    here = f"http://127.0.0.1:{access.arrivals_port}"
    command = (
        "import sys, urllib3; print(urllib3.request(*sys.argv[1:3], headers={'Authorization': sys.argv[3]}).status)"
    )

    def status(method: str, url: str, authorization: str) -> int:  # without the checks of the API's answers
        asked = [sys.executable, "-c", command, method, url, authorization]
        return int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)

    assert status("POST", f"{here}/arrivals", f"Bearer {access.arrivals_token}") == 204
    assert status("POST", f"{here}/arrivals", "Bearer no") == 401
    assert status("POST", f"{here}/arrivals", "") == 401
    assert status("GET", f"{here}/healthz", "") == 404
    assert status("GET", f"{here}/api/v1/models", appliance.key) == 404
    assert status("POST", f"{api.url}/arrivals", f"Bearer {access.arrivals_token}") == 404


def test_the_appliance_does_not_call_its_own_listener(api: Api, access: StorageAccess) -> None:
    assert (
        "the appliance itself"
        in ask(api, 400, callbackUrl=f"http://127.0.0.1:{access.arrivals_port}/arrivals")["detail"]
    )
    assert "the appliance itself" in ask(api, 400, callbackUrl=f"{access.endpoint}/audio")["detail"]


def frozen(appliance: Appliance) -> list[int]:
    """The processes of the API, stopped: they take no event."""
    watching = appliance.pid("api")
    pids = [watching, *children(watching)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def test_an_api_killed_between_put_and_event_loses_nothing(appliance: Appliance, api: Api) -> None:
    made = ask(api)
    pids = frozen(appliance)
    put(made["presignedUrl"], loud_wav())
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: appliance.pid("api") not in (0, pids[0]))
    wait_for(appliance.ready)
    assert ended(api, made["transcriptionId"])["detections"] == LOUD


def test_what_was_put_before_all_was_killed_is_found_at_the_next_start(tmp_path: Path, models: Path) -> None:
    """By the event that storage kept on disk, or by the sweep where storage was killed before it had kept it."""
    with running_appliance(tmp_path, models, storage_server="minio", sweep_seconds=NEVER) as first:
        made = ask(first.api)
        pids = frozen(first)
        put(made["presignedUrl"], loud_wav())
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        for pid in pids[1:]:
            os.kill(pid, signal.SIGKILL)
    with running_appliance(tmp_path, models, storage_server="minio") as second:
        assert ended(Api(second.url, first.key), made["transcriptionId"])["detections"] == LOUD


def test_the_sweep_finds_what_no_event_told_of_and_ends_what_never_came(tmp_path: Path, models: Path) -> None:
    """Storage is SeaweedFS, which tells of nothing."""
    settings = {"upload_expires_seconds": 3, "upload_grace_seconds": 4}
    with running_appliance(tmp_path, models, storage_server="seaweedfs", **settings) as running:
        api = running.api
        came, never = ask(api), ask(api)
        put(came["presignedUrl"], loud_wav())
        assert ended(api, came["transcriptionId"])["detections"] == LOUD
        failed = ended(api, never["transcriptionId"])
        assert (failed["status"], failed["errorCode"]) == ("failed", "not_uploaded")
        assert failed["error"] == "The file was never uploaded."
