"""What a job, a transcript and the log show of a delivery, one more try, and the second check of the address."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from appliance.errors import Conflict, NotFound
from appliance.services.box import Box
from appliance.services.inference import jobs
from appliance.services.webhooks import events as webhooks
from appliance.services.webhooks.reports import newest_reports
from appliance.state.webhooks import Delivery
from tests.support.boxes import CALLBACK, claim, new_job, queued_work

HERE = "http://here.example:9/a"


def announce(box: Box, subject_id: str, event_type: str = "job.completed", url: str = CALLBACK) -> str:
    """Queue an event and return the id of its delivery."""
    with box.db.transaction() as tx:
        webhooks.announce(tx, 1, subject_id, url, event_type, {})
    return webhooks.list_deliveries(box, 1, status=None, before=None, limit=1)[0][0].id


def deliver(box: Box, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Try the next delivery; the receiver answers with ``status``."""
    monkeypatch.setattr(webhooks, "post", lambda *_: status)
    webhooks.deliver(box, claim(box, "webhook"))


def log_of(box: Box, subject_id: str) -> list[Delivery]:
    return webhooks.list_deliveries(box, 1, status=None, before=None, limit=9, subject_id=subject_id)[0]


def test_a_job_shows_the_delivery_of_its_newest_event(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, other_id = new_job(box, CALLBACK), new_job(box, CALLBACK)
    assert jobs.get_job(box, 1, job_id).callback is None
    announce(box, job_id, "file.completed")
    deliver(box, monkeypatch, 204)
    newest = announce(box, job_id)
    waiting = jobs.get_job(box, 1, job_id).callback
    assert waiting is not None
    assert waiting | {"next_attempt_at": ""} == {
        "delivery_id": newest,
        "event_type": "job.completed",
        "url": CALLBACK,
        "status": "pending",
        "attempts": 0,
        "last_status": None,
        "last_error": None,
        "next_attempt_at": "",
    }
    deliver(box, monkeypatch, 410)
    failed = waiting | {
        "status": "failed",
        "attempts": 1,
        "last_status": 410,
        "last_error": "The receiver answered 410.",
        "next_attempt_at": None,
    }
    assert jobs.get_job(box, 1, job_id).callback == failed
    page, _ = jobs.list_jobs(box, 1, model_id=None, status=None, before=None, limit=9)
    assert {report.job.id: report.callback for report in page} == {job_id: failed, other_id: None}


def test_each_subject_has_its_own_newest_delivery(box: Box) -> None:
    for subject_id in ("a", "b", "a"):
        announce(box, subject_id)
    last = announce(box, "a")
    reports = newest_reports(box, ["a", "b", "c"])
    assert reports.keys() == {"a", "b"}
    assert reports["a"]["delivery_id"] == last


def test_the_log_can_be_limited_to_one_subject(box: Box) -> None:
    first, _, second = announce(box, "a"), announce(box, "b"), announce(box, "a")
    assert [delivery.id for delivery in log_of(box, "a")] == [second, first]
    assert [delivery.subject_id for delivery in log_of(box, "a")] == ["a", "a"]
    assert log_of(box, "c") == []


def test_a_failed_delivery_is_tried_once_more(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery_id = announce(box, "a")
    deliver(box, monkeypatch, 410)
    assert queued_work(box) == []
    assert webhooks.retry_delivery(box, 1, delivery_id).status == "pending"
    assert queued_work(box) == [("webhook", delivery_id)]
    deliver(box, monkeypatch, 204)
    [delivery] = log_of(box, "a")
    assert (delivery.status, delivery.attempts, delivery.last_error) == ("delivered", 2, None)


def test_only_ones_own_failed_delivery_can_be_tried_again(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery_id = announce(box, "a")
    with pytest.raises(Conflict, match="is pending"):
        webhooks.retry_delivery(box, 1, delivery_id)
    deliver(box, monkeypatch, 204)
    with pytest.raises(Conflict, match="is delivered"):
        webhooks.retry_delivery(box, 1, delivery_id)
    for tenant_id, unknown in ((2, delivery_id), (1, "msg_0")):
        with pytest.raises(NotFound):
            webhooks.retry_delivery(box, tenant_id, unknown)


def test_the_address_is_checked_again_at_each_try(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name led to this machine when it was accepted. Now it leads elsewhere, and nothing is sent."""
    announce(box, "a", url=HERE)

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(0, 0, 0, "", ("8.8.8.8", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    deliver(box, monkeypatch, 204)
    [delivery] = log_of(box, "a")
    assert (delivery.status, delivery.attempts, delivery.last_status) == ("failed", 1, None)
    assert queued_work(box) == []
    assert delivery.last_error == "The address 8.8.8.8 is not allowed by the setting webhook_networks."


def test_a_name_that_does_not_resolve_is_tried_again(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(box, "a", url=HERE)

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    deliver(box, monkeypatch, 204)
    [delivery] = log_of(box, "a")
    assert (delivery.status, delivery.attempts) == ("pending", 1)
    assert "does not resolve now" in (delivery.last_error or "")
