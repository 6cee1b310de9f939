"""Webhooks by themselves: what is queued with what, the waits between tries, the secrets. Real SQLite, no network."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.config import Settings
from appliance.errors import CallbackFailed, LeaseLost
from appliance.services.box import Box
from appliance.services.inference import endings
from appliance.services.webhooks import events as webhooks
from appliance.services.work import leases
from appliance.state import inference_files, inference_jobs, keys
from appliance.state import webhooks as rows
from appliance.state.database import Database

URL = "http://127.0.0.1:9/a"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    db = Database(tmp_path / "appliance.db")
    db.migrate()
    with db.transaction() as tx:
        assert keys.ensure_tenant(tx, "one") == 1
    settings = Settings(data_dir=tmp_path, webhook_networks=["127.0.0.0/8"])
    objects: Any = SimpleNamespace(local_ports=set())
    return Box(settings, db, objects, None)  # type: ignore[arg-type]


def make_job(box: Box, *file_ids: str, callback_url: str | None = URL) -> None:
    with box.db.transaction() as tx:
        inference_jobs.insert_job(tx, "job", 1, "m", "m", "1", {}, {}, callback_url)
        for file_id in file_ids:
            inference_files.insert_file(
                tx,
                file_id,
                "job",
                original_filename="a.wav",
                content_type="audio/wav",
                declared_size_bytes=1,
                object_key=file_id,
                upload_expires_at=0.0,
            )


def announced(box: Box) -> list[str]:
    """The types of all events, oldest first."""
    found = rows.list_deliveries(box.db, 1, status=None, before=None, limit=100)
    return [each.event_type for each in reversed(found)]


def fail_and_break(box: Box) -> None:
    """A transaction that ends badly after it failed a file."""
    with box.db.transaction() as tx:
        assert endings.fail_file(tx, "f1", "pending", "not_uploaded", "Never.")
        assert announced(box) == ["file.failed", "job.completed"]
        raise RuntimeError


def test_an_event_commits_with_its_cause_or_not_at_all(box: Box) -> None:
    make_job(box, "f1")
    with pytest.raises(RuntimeError):
        fail_and_break(box)
    assert announced(box) == []
    assert leases.claim(box, "w", ("webhook",)) is None
    with box.db.transaction() as tx:
        assert endings.fail_file(tx, "f1", "pending", "not_uploaded", "Never.")
    assert announced(box) == ["file.failed", "job.completed"]


def test_a_change_that_someone_else_made_is_told_once(box: Box) -> None:
    make_job(box, "f1")
    for _ in range(2):
        with box.db.transaction() as tx:
            endings.fail_file(tx, "f1", "pending", "not_uploaded", "Never.")
    assert announced(box) == ["file.failed", "job.completed"]


def test_a_job_ends_with_its_last_file_whatever_its_files_became(box: Box) -> None:
    make_job(box, "f1", "f2", "f3")
    for number, file_id in enumerate(("f2", "f1", "f3")):
        assert announced(box) == ["file.failed"] * number
        with box.db.transaction() as tx:
            endings.fail_file(tx, file_id, "pending", "not_uploaded", "Never.")
    assert announced(box) == ["file.failed"] * 3 + ["job.completed"]
    [last] = rows.list_deliveries(box.db, 1, status=None, before=None, limit=1)
    assert json.loads(last.payload)["data"]["status"] == "failed"


def test_a_job_without_a_callback_tells_nobody(box: Box) -> None:
    make_job(box, "f1", callback_url=None)
    with box.db.transaction() as tx:
        endings.fail_file(tx, "f1", "pending", "not_uploaded", "Never.")
    assert announced(box) == []


def announce(box: Box) -> None:
    with box.db.transaction() as tx:
        webhooks.announce(tx, 1, URL, "file.completed", {"name": "Gr\u00f6\u00dfe"})


def try_now(box: Box) -> Any:
    """Try the one delivery, as if its time had come; the delivery after that."""
    with box.db.transaction() as tx:
        tx.change("UPDATE work SET run_after = 0")
    claimed = leases.claim(box, "w", ("webhook",))
    assert claimed
    webhooks.deliver(box, claimed)
    return webhooks.list_deliveries(box, 1, status=None, before=None, limit=1)[0][0]


def answering(monkeypatch: pytest.MonkeyPatch, answer: int | None) -> None:
    def post(*_: Any) -> int:
        if answer is None:
            raise CallbackFailed("127.0.0.1:9: refused.")
        return answer

    monkeypatch.setattr(webhooks, "post", post)


@pytest.mark.parametrize("answer", [None, 500, 302, 404, 199])
def test_the_waits_grow_over_days_and_then_it_is_given_up(
    box: Box, monkeypatch: pytest.MonkeyPatch, answer: int | None
) -> None:
    answering(monkeypatch, answer)
    announce(box)
    waits = []
    while (tried := try_now(box)).status == "pending":
        waits.append(round(tried.next_attempt_at - tried.last_attempt_at))
        assert tried.last_error
        [waiting] = box.db.all("SELECT run_after FROM work")
        assert waiting["run_after"] == pytest.approx(tried.next_attempt_at, abs=1)
    assert waits == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert (tried.status, tried.attempts, tried.last_status) == ("failed", 10, answer)
    assert box.db.all("SELECT * FROM work") == []


@pytest.mark.parametrize("answer", [200, 202, 204, 299])
def test_2xx_is_success(box: Box, monkeypatch: pytest.MonkeyPatch, answer: int) -> None:
    answering(monkeypatch, answer)
    announce(box)
    tried = try_now(box)
    assert (tried.status, tried.attempts, tried.last_status, tried.last_error) == ("delivered", 1, answer, None)
    assert box.db.all("SELECT * FROM work") == []


def test_a_try_whose_lease_was_lost_notes_nothing(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 200)
    announce(box)
    claimed = leases.claim(box, "w", ("webhook",))
    assert claimed
    with box.db.transaction() as tx:
        tx.change("UPDATE work SET lease_token = lease_token + 1")
    with pytest.raises(LeaseLost):
        webhooks.deliver(box, claimed)
    [delivery], _ = webhooks.list_deliveries(box, 1, status=None, before=None, limit=2)
    assert (delivery.status, delivery.attempts) == ("pending", 0)


def test_lanes_leave_webhooks_to_the_courier(box: Box) -> None:
    announce(box)
    assert leases.claim(box, "w", ("inference", "transcription")) is None
    assert leases.claim(box, "w", ("webhook",)) is not None


def test_an_old_secret_signs_for_a_day(box: Box) -> None:
    [first] = webhooks.current_secrets(box, 1)
    assert webhooks.current_secrets(box, 1) == [first]
    second, old = webhooks.rotate_secret(box, 1)
    assert (old.secret, second.expires_at) == (first.secret, None)
    assert old.expires_at == pytest.approx(second.created_at + 86400, abs=1)
    assert [each.secret for each in webhooks.rotate_secret(box, 1)][1:] == [second.secret, first.secret]
    with box.db.transaction() as tx:
        tx.change("UPDATE webhook_secrets SET expires_at = 1 WHERE expires_at IS NOT NULL")
    assert len(webhooks.current_secrets(box, 1)) == 1


def test_the_log_forgets_what_ended_long_ago(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 200)
    announce(box)
    try_now(box)
    announce(box)
    webhooks.delete_old(box)
    assert len(announced(box)) == 2
    with box.db.transaction() as tx:
        tx.change("UPDATE webhook_deliveries SET created_at = created_at - 31 * 86400")
    webhooks.delete_old(box)
    [left], _ = webhooks.list_deliveries(box, 1, status=None, before=None, limit=2)
    assert left.status == "pending"
