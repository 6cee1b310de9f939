"""Webhooks of inference jobs, sent to receivers on the loopback, which the settings allow here. Retries are fast."""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.appliances import PATIENCE_SECONDS, Api, Appliance, running_appliance, wait_for
from tests.support.receivers import Receiver, receiving
from tests.support.toy_recordings import LOUD_DETECTIONS, LOUD_DURATION_MS, loud_wav

JOBS = "/api/v1/inference-jobs"
DELIVERIES = "/api/v1/webhooks/deliveries"
SECRET = "/api/v1/webhooks/secret"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance that may call receivers on the loopback and retries soon."""
    settings = {
        "webhook_networks": '["127.0.0.0/8"]',
        "webhook_retry_seconds": str([0.1] * 20),
        "webhook_timeout_seconds": 5,
        "lease_seconds": 5,
        "upload_expires_seconds": 3600,
    }
    folder = tmp_path_factory.mktemp("calling")
    with running_appliance(folder, models, storage_server="minio", **settings) as running:
        yield running


@pytest.fixture
def path() -> str:
    """A path of the receiver that no other test uses."""
    return f"/{uuid.uuid4()}"


def make_job(api: Api, url: str, status: int = 201) -> Any:
    return api.post(JOBS, {"model_id": "loud-frames", "callback_url": url}, status)


def deliveries(api: Api, url: str) -> list[Any]:
    """The deliveries to a URL, oldest first."""
    page = api.get(DELIVERIES, params={"limit": 200})["deliveries"]
    return [delivery for delivery in reversed(page) if delivery["url"] == url]


def finished_deliveries(api: Api, url: str, count: int) -> list[Any]:
    """Wait until ``count`` deliveries to a URL have ended. Returns them."""

    def ended() -> list[Any] | None:
        log = deliveries(api, url)
        return log if len(log) == count and all(row["status"] != "pending" for row in log) else None

    return wait_for(ended)


def test_a_job_sends_one_event_for_each_file_and_one_for_its_end(api: Api, receiver: Receiver, path: str) -> None:
    job = make_job(api, receiver.url + path)
    assert job["callback_url"] == receiver.url + path
    good = api.upload(job["id"], loud_wav())
    bad = api.upload(job["id"], b"this is no recording")
    api.confirm(job["id"], good)
    api.confirm(job["id"], bad)
    log = finished_deliveries(api, receiver.url + path, 3)
    assert [delivery["status"] for delivery in log] == ["delivered"] * 3
    secret = api.get(SECRET)["secret"]
    events = [call.verified(secret) for call in receiver.calls_to(path)]
    assert Counter(event["type"] for event in events) == Counter(["file.completed", "file.failed", "job.completed"])
    data = {event["type"]: event["data"] for event in events}
    assert data["file.completed"] == {
        "job_id": job["id"],
        "file_id": good,
        "original_filename": "take.wav",
        "status": "completed",
        "duration_ms": LOUD_DURATION_MS,
        "verdict": None,
        "verdict_reasons": [],
        "detection_count": 1,
        "detections_truncated": False,
        "detections": LOUD_DETECTIONS,
    }
    assert (data["file.failed"]["file_id"], data["file.failed"]["error_code"]) == (bad, "corrupt_audio")
    ended = data["job.completed"]
    assert (ended["job_id"], ended["status"], ended["processed_files"]) == (job["id"], "completed", 2)


def test_a_job_with_another_file_sends_its_end_again(api: Api, receiver: Receiver, path: str) -> None:
    job = make_job(api, receiver.url + path)
    api.send(job["id"], loud_wav())
    finished_deliveries(api, receiver.url + path, 2)
    api.send(job["id"], loud_wav())
    finished_deliveries(api, receiver.url + path, 4)
    types = [call.event["type"] for call in receiver.calls_to(path)]
    assert Counter(types) == {"file.completed": 2, "job.completed": 2}


def test_a_cancelled_job_sends_one_event(api: Api, receiver: Receiver, path: str) -> None:
    job = make_job(api, receiver.url + path)
    api.request_upload(job["id"], 100)
    api.cancel(job["id"])
    api.cancel(job["id"])
    finished_deliveries(api, receiver.url + path, 1)
    [call] = receiver.calls_to(path)
    assert (call.event["type"], call.event["data"]["status"]) == ("job.completed", "cancelled")


def test_a_receiver_that_fails_in_three_of_ten_gets_every_event(api: Api, receiver: Receiver, path: str) -> None:
    chance = random.Random(7)
    receiver.answer = lambda path, number: 503 if chance.random() < 0.3 else 200
    job = make_job(api, receiver.url + path)
    files = [api.upload(job["id"], loud_wav(40, [(10, 20)])) for _ in range(20)]
    for file_id in files:
        api.confirm(job["id"], file_id)
    log = finished_deliveries(api, receiver.url + path, 21)
    assert {delivery["status"] for delivery in log} == {"delivered"}
    subjects = [call.event["data"].get("file_id", "the job") for call in receiver.accepted(path)]
    assert Counter(subjects) == Counter([*files, "the job"])
    num_refused = len(receiver.calls_to(path)) - len(subjects)
    assert num_refused > 0
    assert sum(delivery["attempts"] for delivery in log) == len(receiver.calls_to(path))
    ids = {call.headers["webhook-id"] for call in receiver.calls_to(path)}
    assert ids == {delivery["id"] for delivery in log}  # a retry has the same id


def test_a_410_ends_the_delivery(api: Api, receiver: Receiver, path: str) -> None:
    receiver.answer = lambda path, number: 410
    job = make_job(api, receiver.url + path)
    api.request_upload(job["id"], 1)
    api.cancel(job["id"])
    [delivery] = finished_deliveries(api, receiver.url + path, 1)
    assert (delivery["status"], delivery["attempts"], delivery["last_status"]) == ("failed", 1, 410)
    assert delivery["next_attempt_at"] is None
    assert len(receiver.calls_to(path)) == 1


def test_a_delivery_fails_after_its_last_attempt(api: Api, receiver: Receiver, path: str) -> None:
    receiver.answer = lambda path, number: 500
    job = make_job(api, receiver.url + path)
    api.cancel(job["id"])
    [delivery] = finished_deliveries(api, receiver.url + path, 1)
    assert (delivery["status"], delivery["attempts"], delivery["last_status"]) == ("failed", 21, 500)
    assert delivery["last_error"] == "The receiver answered 500."


def test_no_redirect_is_followed(api: Api, receiver: Receiver, path: str) -> None:
    receiver.answer = lambda path, number: 307 if number < 2 else 204
    receiver.headers = {"Location": f"{receiver.url}/elsewhere"}
    job = make_job(api, receiver.url + path)
    api.cancel(job["id"])
    [delivery] = finished_deliveries(api, receiver.url + path, 1)
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 3)
    assert receiver.calls_to("/elsewhere") == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/a",
        "127.0.0.1/a",
        "http:///a",
        "http://user:word@127.0.0.1/a",
        "http://user@127.0.0.1/a",
        "http://127.0.0.1:0/a",
        "http://127.0.0.1:99999/a",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\u00e9",
        "http://127.0.0.1/\r\nX-A: b",
        "http://10.0.0.1/a",  # not in the networks that this appliance may call
        "http://8.8.8.8/a",
        "http://169.254.169.254/latest",
        "http://0.0.0.0/a",
        "http://[::1]/a",
        "http://[::ffff:8.8.8.8]/a",
        "http://[::]/a",
        "",
    ],
)
def test_a_forbidden_callback_url_is_refused(api: Api, url: str) -> None:
    problem = make_job(api, url, 400)
    assert problem["code"] == "invalid_request"
    assert problem["detail"].startswith("callback_url: ")


def test_the_appliances_own_ports_are_refused(appliance: Appliance, api: Api) -> None:
    assert "the appliance itself" in make_job(api, f"{appliance.url}/api/v1/models", 400)["detail"]
    mapped = appliance.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")
    assert "the appliance itself" in make_job(api, mapped, 400)["detail"]


def test_a_host_name_is_checked_like_an_address(appliance: Appliance, api: Api) -> None:
    url = f"{appliance.url.replace('127.0.0.1', 'localhost')}/api/v1/models"
    assert "the appliance itself" in make_job(api, url, 400)["detail"]
    unknown = f"{'a' * 64}.example"  # too long for a name server to be asked
    problem = make_job(api, f"http://{unknown}/a", 400)
    assert problem["detail"].startswith(f"callback_url: The name {unknown} does not resolve now: ")


def test_the_host_header_is_the_name_in_the_url(api: Api, receiver: Receiver, path: str) -> None:
    url = receiver.url.replace("127.0.0.1", "localhost") + path
    job = make_job(api, url)
    api.cancel(job["id"])
    [delivery] = finished_deliveries(api, url, 1)
    assert delivery["status"] == "delivered"
    [call] = receiver.calls_to(path)
    assert call.headers["Host"] == url.split("/")[2]


def test_both_secrets_sign_after_a_rotation(api: Api, receiver: Receiver, path: str) -> None:
    old = api.get(SECRET)["secret"]
    rotated = api.post(f"{SECRET}/rotate", None)
    assert rotated["secret"] != old
    assert old in [previous["secret"] for previous in rotated["previous"]]
    assert api.get(SECRET) == rotated
    job = make_job(api, receiver.url + path)
    api.cancel(job["id"])
    finished_deliveries(api, receiver.url + path, 1)
    [call] = receiver.calls_to(path)
    assert call.verified(old) == call.verified(rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        call.verified("whsec_" + "A" * 44)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(call.body.replace(b"cancelled", b"completed"), call.headers)


def test_another_tenant_sees_neither_secret_nor_deliveries(
    appliance: Appliance, api: Api, receiver: Receiver, path: str
) -> None:
    other_tenant = appliance.api_of(path, "stranger")
    job = make_job(api, receiver.url + path)
    api.cancel(job["id"])
    finished_deliveries(api, receiver.url + path, 1)
    assert other_tenant.get(DELIVERIES)["deliveries"] == []
    assert other_tenant.get(SECRET)["secret"] != api.get(SECRET)["secret"]
    assert Api(appliance.url, None).get(SECRET, 401)["code"] == "unauthorized"


def test_deliveries_are_listed_in_pages_by_status(api: Api, receiver: Receiver, path: str) -> None:
    job = make_job(api, receiver.url + path)
    for number in range(1, 4):
        api.send(job["id"], loud_wav(40, [(10, 20)]))
        finished_deliveries(api, receiver.url + path, 2 * number)  # of the file, and of the job's end
    whole = api.get(DELIVERIES, params={"limit": 200, "status": "delivered"})["deliveries"]
    first = api.get(DELIVERIES, params={"limit": 2, "status": "delivered"})
    second = api.get(DELIVERIES, params={"limit": 2, "status": "delivered", "cursor": first["next_cursor"]})
    assert first["deliveries"] + second["deliveries"] == whole[:4]
    assert api.get(DELIVERIES, 400, params={"status": "lost"})["code"] == "invalid_request"


def test_a_worker_killed_before_it_delivers_loses_nothing(
    appliance: Appliance, api: Api, receiver: Receiver, path: str
) -> None:
    """The file is completed, but the receiver refuses. The worker is killed and the next worker delivers.

    So that the attempts are not used up before the kill, the receiver refuses three of them and keeps the others.
    """
    is_killed = threading.Event()

    def answer(path: str, number: int) -> int:
        if number < 3:
            return 503
        is_killed.wait(PATIENCE_SECONDS)
        return 204

    receiver.answer = answer
    job = make_job(api, receiver.url + path)
    file_id = api.send(job["id"], loud_wav())
    api.finished_file(job["id"], file_id)
    killed = appliance.kill("worker")
    is_killed.set()
    wait_for(lambda: appliance.pid("worker") not in (0, killed))
    log = finished_deliveries(api, receiver.url + path, 2)
    assert {delivery["status"] for delivery in log} == {"delivered"}
    types = {call.event["type"] for call in receiver.accepted(path)}
    assert types == {"file.completed", "job.completed"}


def test_a_worker_killed_while_it_delivers_delivers_again(
    appliance: Appliance, api: Api, receiver: Receiver, path: str
) -> None:
    """The worker is killed while the receiver has not answered yet: the receiver gets the same event again."""
    called, free = threading.Event(), threading.Event()

    def answer(path: str, number: int) -> int:
        called.set()
        assert free.wait(PATIENCE_SECONDS)
        return 204

    receiver.answer = answer
    job = make_job(api, receiver.url + path)
    api.cancel(job["id"])
    assert called.wait(PATIENCE_SECONDS)
    killed = appliance.kill("worker")
    wait_for(lambda: appliance.pid("worker") not in (0, killed))
    free.set()
    [delivery] = finished_deliveries(api, receiver.url + path, 1)
    assert delivery["status"] == "delivered"
    wait_for(lambda: len(receiver.calls_to(path)) > 1)
    assert {call.headers["webhook-id"] for call in receiver.calls_to(path)} == {delivery["id"]}


def test_a_slow_receiver_delays_neither_work_nor_other_receivers(api: Api, receiver: Receiver, path: str) -> None:
    """Each thread of the courier waits for the slow receiver. Files go on; other receivers wait for a thread alone."""
    free = threading.Event()
    receiver.answer = lambda path, number: 204 if free.wait(2 * PATIENCE_SECONDS) else 500
    with receiving() as quick:
        try:
            for _ in range(8):
                api.cancel(make_job(api, receiver.url + path)["id"])
            job = make_job(api, quick.url + path)
            api.send(job["id"], loud_wav())
            assert api.finished_job(job["id"])["status"] == "completed"
            finished_deliveries(api, quick.url + path, 2)
        finally:
            free.set()
    finished_deliveries(api, receiver.url + path, 8)
