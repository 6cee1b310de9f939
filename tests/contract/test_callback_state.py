"""The delivery of webhooks as a job, a transcription and the log show it, and one more try of a failed delivery."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.appliances import Api, Appliance, running_appliance, wait_for
from tests.support.receivers import Receiver
from tests.support.toy_recordings import loud_wav

JOBS = "/api/v1/inference-jobs"
DELIVERIES = "/api/v1/webhooks/deliveries"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance that may call receivers on the loopback and tries each webhook twice."""
    settings = {"webhook_networks": '["127.0.0.0/8"]', "webhook_retry_seconds": "[0.1]"}
    with running_appliance(tmp_path_factory.mktemp("state"), models, storage_server="minio", **settings) as running:
        yield running


def callback_of(api: Api, job_id: str) -> Any:
    return api.job(job_id)["callback"]


def ended_callback(api: Api, job_id: str) -> Any:
    """Wait until the newest webhook of a job has ended. Returns it."""
    return wait_for(lambda: (it := callback_of(api, job_id)) and it["status"] != "pending" and it)


def new_job(api: Api, url: str) -> Any:
    return api.post(JOBS, {"model_id": "loud-frames", "callback_url": url}, 201)


def test_a_job_shows_the_delivery_of_its_newest_webhook(api: Api, receiver: Receiver) -> None:
    url = f"{receiver.url}/{uuid.uuid4()}"
    job = new_job(api, url)
    assert job["callback"] is None
    tag = api.response("GET", f"{JOBS}/{job['id']}").headers["ETag"]
    api.cancel(job["id"])
    callback = ended_callback(api, job["id"])
    [delivery] = api.get(DELIVERIES, params={"subject_id": job["id"]})["deliveries"]
    assert callback == {
        "delivery_id": delivery["id"],
        "event_type": "job.completed",
        "url": url,
        "status": "delivered",
        "attempts": 1,
        "last_status": 204,
        "last_error": None,
        "next_attempt_at": None,
    }
    assert delivery["subject_id"] == job["id"]
    [listed] = [row for row in api.get(JOBS)["inference_jobs"] if row["id"] == job["id"]]
    assert listed["callback"] == callback
    assert api.response("GET", f"{JOBS}/{job['id']}", headers={"If-None-Match": tag}).status_code == 200


def test_a_failed_delivery_is_seen_and_tried_again(appliance: Appliance, api: Api, receiver: Receiver) -> None:
    receiver.answer = lambda path, number: 500 if number < 2 else 204
    job = new_job(api, f"{receiver.url}/{uuid.uuid4()}")
    before = api.response("GET", f"{JOBS}/{job['id']}").headers["ETag"]
    api.cancel(job["id"])
    failed = ended_callback(api, job["id"])
    assert (failed["status"], failed["attempts"], failed["last_status"]) == ("failed", 2, 500)
    assert failed["last_error"] == "The receiver answered 500."
    tag = api.response("GET", f"{JOBS}/{job['id']}").headers["ETag"]
    assert tag != before
    retry = f"{DELIVERIES}/{failed['delivery_id']}/retry"
    assert appliance.api_of("other", "other").post(retry, None, 404)["code"] == "not_found"
    assert api.post(retry, None)["status"] == "pending"
    delivered = ended_callback(api, job["id"])
    assert (delivered["status"], delivered["attempts"]) == ("delivered", 3)
    # A poll with the tag of the time before sees that the delivery has changed.
    assert api.response("GET", f"{JOBS}/{job['id']}", headers={"If-None-Match": tag}).status_code == 200
    assert api.post(retry, None, 409)["code"] == "conflict"
    assert api.post(f"{DELIVERIES}/msg_0/retry", None, 404)["code"] == "not_found"


@pytest.mark.parametrize("status", [204, 410])
def test_a_transcription_shows_the_delivery_of_its_webhook(api: Api, receiver: Receiver, status: int) -> None:
    receiver.answer = lambda path, number: status
    url = f"{receiver.url}/{uuid.uuid4()}"
    body = {"fileName": "a.wav", "contentType": "audio/wav", "modelId": "loud-frames", "callbackUrl": url}
    upload = api.post("/api/generate-presigned-url", body)

    def transcription() -> Any:
        return api.get("/api/get-transcription", params={"transcriptionId": upload["transcriptionId"]})

    assert transcription()["callback"] is None
    assert requests.put(upload["presignedUrl"], loud_wav(), headers={"Content-Type": "audio/wav"}).status_code == 200
    wait_for(lambda: (transcription()["callback"] or {}).get("status") in ("delivered", "failed"))
    callback = transcription()["callback"]
    assert callback == {
        "deliveryId": callback["deliveryId"],
        "eventType": "transcription.completed",
        "url": url,
        "status": "delivered" if status == 204 else "failed",
        "attempts": 1,
        "lastStatus": status,
        "lastError": None if status == 204 else "The receiver answered 410.",
        "nextAttemptAt": None,
    }
    [call] = receiver.calls
    assert "callback" not in call.event["data"]
    assert transcription() == call.event["data"] | {"callback": callback}


def told(appliance: Appliance, request_id: str) -> list[tuple[str, str]]:
    """What ``logs`` tells about a request: the process and the rest of each line. Nothing if no log has a line yet."""
    try:
        story = appliance.command("logs", "--request", request_id, "--data-dir", str(appliance.data_dir))
    except subprocess.CalledProcessError:
        return []
    lines = story.splitlines()
    return [(process, text) for _, _, process, text in (line.split(maxsplit=3) for line in lines)]


def test_one_request_id_leads_from_the_client_to_the_webhook(
    appliance: Appliance, api: Api, receiver: Receiver
) -> None:
    request_id = f"order-{uuid.uuid4()}"
    job_id = new_job(api, receiver.url)["id"]
    file_id = api.upload(job_id, loud_wav())
    response = api.response(
        "POST", f"{JOBS}/{job_id}/files/confirm", json={"file_id": file_id}, headers={"X-Request-ID": request_id}
    )
    assert response.headers["X-Request-ID"] == request_id
    wait_for(lambda: len(receiver.calls) == 2)
    assert {call.headers["X-Request-ID"] for call in receiver.calls} == {request_id}

    def is_complete() -> bool:
        story = told(appliance, request_id)
        return (
            {process for process, _ in story} == {"frontdoor", "api", "worker"}
            and any(text.startswith("request method=POST") and "status=200" in text for _, text in story)
            and any(text.startswith("work done") and file_id in text for _, text in story)
            and sum(text.startswith("webhook delivered") for _, text in story) == 2
        )

    wait_for(is_complete)  # the logs are a little late


def test_a_transcript_that_waits_for_its_upload_keeps_the_id_of_its_request(
    appliance: Appliance, api: Api, receiver: Receiver
) -> None:
    request_id = f"put-{uuid.uuid4()}"
    body = {"contentType": "audio/wav", "modelId": "loud-frames", "callbackUrl": receiver.url}
    form = api.post("/api/generate-presigned-url", body, headers={"X-Request-ID": request_id})
    put = requests.put(form["presignedUrl"], data=loud_wav(), headers={"Content-Type": "audio/wav"})
    assert put.status_code == 200
    wait_for(lambda: receiver.calls)
    assert [call.headers["X-Request-ID"] for call in receiver.calls] == [request_id]
    done = "work done kind=transcription"  # in a log, which is a little late
    wait_for(lambda: any(text.startswith(done) for _, text in told(appliance, request_id)))
