"""The presigned route with the paths and field names of the hosted service's pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract.spec import Spec
from tests.contract.test_speech_raw import assert_sample_text
from tests.support.appliances import PATIENCE_SECONDS, Api, Appliance, running_appliance, wait_for
from tests.support.receivers import Receiver
from tests.support.speech_sample import SAMPLE as SPEECH
from tests.support.toy_recordings import loud_wav

VERSION = "X-Invox-Medical-Api-Version"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance that may call back to this machine."""
    networks = {"webhook_networks": '["127.0.0.0/8"]'}
    with running_appliance(tmp_path_factory.mktemp("pages"), models, storage_server="minio", **networks) as running:
        yield running


class HostedClient:
    """Calls as the hosted service's pages do: a bearer token, the version in a header, ``/api/v1`` paths."""

    def __init__(self, appliance: Appliance) -> None:
        self.url = appliance.url
        self.headers = {"Authorization": f"Bearer {appliance.key}", VERSION: "2025-11-01"}

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        response = requests.post(f"{self.url}/api/v1{path}", json=body, headers=self.headers, timeout=PATIENCE_SECONDS)
        assert response.status_code == status, response.text
        return response.json()

    def status(self, request_id: str) -> Any:
        return self.post("/get-transcription", {"requestId": request_id})

    def finished(self, request_id: str) -> Any:
        """Wait until a transcription has ended. Returns its status."""

        def ended() -> Any:
            status = self.status(request_id)
            return status if status["transcriptionStatus"] != "PENDING" else None

        return wait_for(ended)


@pytest.fixture
def hosted(appliance: Appliance) -> HostedClient:
    """A client of the hosted service."""
    return HostedClient(appliance)


def test_the_three_steps_of_the_guide(hosted: HostedClient, receiver: Receiver, spec: Spec) -> None:
    body = {"mimeType": " audio/flac", "callbackUrl": f"{receiver.url}/hosted"}  # the page has this space
    upload = hosted.post("/generate-presigned-url", body)
    assert upload["requestId"] == upload["transcriptionId"]
    pending = {
        "requestId": upload["requestId"],
        "transcription": [],
        "transcriptionStatus": "PENDING",
        "processingStatus": "PENDING",
    }
    assert hosted.status(upload["requestId"]) == pending
    put = requests.put(upload["presignedUrl"], data=SPEECH.read_bytes(), headers={"Content-Type": "audio/flac"})
    assert put.status_code == 200
    done = hosted.finished(upload["requestId"])
    assert (done["transcriptionStatus"], done["processingStatus"]) == ("COMPLETED", "COMPLETED")
    assert_sample_text(" ".join(segment["text"] for segment in done["transcription"]))
    for segment in done["transcription"]:
        assert set(segment) == {"text", "start", "end"}
        assert 0 <= segment["start"] < segment["end"] < 60  # seconds
    assert done["vttTranscription"].startswith("WEBVTT\n")
    [call] = wait_for(lambda: receiver.calls_to("/hosted"))
    assert (call.event["requestId"], call.event["transcription"]) == (upload["requestId"], done["transcription"])
    schema = spec.document["webhooks"][call.event["type"]]["post"]["requestBody"]["content"]["application/json"]
    spec.validate(call.event, schema["schema"])


def test_a_recording_that_cannot_be_read_is_an_error(hosted: HostedClient) -> None:
    upload = hosted.post("/generate-presigned-url", {"mimeType": "audio/x-wav"})
    requests.put(upload["presignedUrl"], data=b"this is no recording", headers={"Content-Type": "audio/x-wav"})
    failed = hosted.finished(upload["requestId"])
    assert (failed["transcriptionStatus"], failed["transcription"]) == ("ERROR", [])
    assert "not a recording" in failed["errorMessage"]
    assert "vttTranscription" not in failed


def test_both_spellings_lead_to_the_same_transcription(hosted: HostedClient, api: Api) -> None:
    for path in ("/api/generate-presigned-url", "/api/v1/generate-presigned-url"):
        body = {"contentType": "audio/wav", "mimeType": "audio/wav", "modelId": "loud-frames"}
        upload = api.post(path, body)
        requests.put(upload["presignedUrl"], data=loud_wav())
        assert hosted.finished(upload["requestId"])["transcription"] == []  # a model for detection
        query = {"transcriptionId": upload["transcriptionId"], "api-version": "2025-10-01"}
        for status_path in ("/api/get-transcription", "/api/v1/get-transcription"):
            assert len(api.get(status_path, params=query)["detections"]) == 1
            assert api.post(status_path, {"requestId": upload["requestId"]})["transcriptionStatus"] == "COMPLETED"
        assert api.response("DELETE", "/api/v1/get-transcription", params=query).status_code == 204
        hosted.post("/get-transcription", {"requestId": upload["requestId"]}, 404)


@pytest.mark.parametrize("mime_type", ["wav", "x-wav", "mp3", "m4a", "flac", "ogg", "webm"])
def test_every_type_of_the_page_is_accepted(hosted: HostedClient, mime_type: str) -> None:
    assert hosted.post("/generate-presigned-url", {"mimeType": f"audio/{mime_type}"})["presignedUrl"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/generate-presigned-url", {}, "contentType, mimeType"),
        ("/generate-presigned-url", {"mimeType": "text/plain"}, "mimeType"),
        ("/generate-presigned-url", {"mimeType": "audio/wav", "speakers": 2}, "speakers"),
        ("/get-transcription", {}, "requestId"),
        ("/get-transcription", {"requestId": 7}, "requestId"),
    ],
)
def test_an_invalid_field_is_named(hosted: HostedClient, path: str, body: Any, field: str) -> None:
    assert hosted.post(path, body, 400)["detail"].startswith(f"{field}: ")
