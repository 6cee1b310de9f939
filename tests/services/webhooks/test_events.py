"""Webhooks without a network: the waits between tries, lost leases, the secrets, the log."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.errors import LeaseLost, RemoteFailed
from appliance.services.box import Box
from appliance.services.webhooks import events as webhooks
from appliance.services.work import leases
from appliance.state.webhooks import Delivery
from tests.support.boxes import CALLBACK, claim, events, lose_lease, queued_work


def announce(box: Box) -> None:
    with box.db.transaction() as tx:
        webhooks.announce(tx, 1, "a-job", CALLBACK, "file.completed", {"name": "Gr\u00f6\u00dfe"})


def try_now(box: Box) -> Delivery:
    """Try the one delivery as if its time had come. Returns the delivery after the try."""
    with box.db.transaction() as tx:
        tx.change("UPDATE work SET run_after = NULL")
    webhooks.deliver(box, claim(box, "webhook"))
    return webhooks.list_deliveries(box, 1, status=None, before=None, limit=1)[0][0]


def answering(monkeypatch: pytest.MonkeyPatch, answer: int | None) -> None:
    def post(*_: Any) -> int:
        if answer is None:
            raise RemoteFailed("127.0.0.1:9: refused.")
        return answer

    monkeypatch.setattr(webhooks, "post", post)


@pytest.mark.parametrize("answer", [None, 500, 302, 404, 199])
def test_the_waits_grow_over_days_and_then_the_delivery_fails(
    box: Box, monkeypatch: pytest.MonkeyPatch, answer: int | None
) -> None:
    answering(monkeypatch, answer)
    announce(box)
    waits = []
    while (delivery := try_now(box)).status == "pending":
        assert delivery.last_error
        assert delivery.next_attempt_at
        assert delivery.last_attempt_at
        waits.append(round(delivery.next_attempt_at - delivery.last_attempt_at))
        [work] = box.db.all("SELECT run_after FROM work")
        assert work["run_after"] == pytest.approx(delivery.next_attempt_at, abs=30)
    assert waits == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert (delivery.status, delivery.attempts, delivery.last_status) == ("failed", 10, answer)
    assert queued_work(box) == []


@pytest.mark.parametrize("answer", [200, 202, 204, 299])
def test_2xx_is_success(box: Box, monkeypatch: pytest.MonkeyPatch, answer: int) -> None:
    answering(monkeypatch, answer)
    announce(box)
    delivery = try_now(box)
    assert (delivery.status, delivery.last_error) == ("delivered", None)
    assert (delivery.attempts, delivery.last_status) == (1, answer)
    assert queued_work(box) == []


def test_a_receiver_that_answers_410_is_not_tried_again(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 410)
    announce(box)
    delivery = try_now(box)
    assert (delivery.status, delivery.attempts, delivery.next_attempt_at) == ("failed", 1, None)
    assert queued_work(box) == []


def test_a_try_whose_lease_was_lost_changes_nothing(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 200)
    announce(box)
    work = claim(box, "webhook")
    lose_lease(box, work)
    with pytest.raises(LeaseLost):
        webhooks.deliver(box, work)
    [delivery], _ = webhooks.list_deliveries(box, 1, status=None, before=None, limit=2)
    assert (delivery.status, delivery.attempts) == ("pending", 0)


def test_a_claim_of_other_kinds_takes_no_webhook(box: Box) -> None:
    announce(box)
    assert leases.claim(box, "w", "lanes") is None
    assert leases.claim(box, "w", "courier") is not None


def test_an_old_secret_signs_for_a_day(box: Box) -> None:
    [first] = webhooks.current_secrets(box, 1)
    assert webhooks.current_secrets(box, 1) == [first]
    second, old = webhooks.rotate_secret(box, 1)
    assert (old.secret, second.expires_at) == (first.secret, None)
    assert old.expires_at == pytest.approx(second.created_at + 86400, abs=30)
    assert [row.secret for row in webhooks.rotate_secret(box, 1)][1:] == [second.secret, first.secret]
    with box.db.transaction() as tx:
        tx.change("UPDATE webhook_secrets SET expires_at = 1 WHERE expires_at IS NOT NULL")
    assert len(webhooks.current_secrets(box, 1)) == 1


def test_old_deliveries_leave_the_log_when_they_have_ended(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 200)
    announce(box)
    try_now(box)
    announce(box)
    webhooks.delete_old(box)
    assert len(events(box)) == 2
    with box.db.transaction() as tx:
        tx.change("UPDATE webhook_deliveries SET created_at = created_at - 31 * 86400")
    webhooks.delete_old(box)
    [left], _ = webhooks.list_deliveries(box, 1, status=None, before=None, limit=2)
    assert left.status == "pending"


def test_the_deliveries_of_another_tenant_are_not_listed(box: Box) -> None:
    announce(box)
    assert webhooks.list_deliveries(box, 2, status=None, before=None, limit=2) == ([], None)
