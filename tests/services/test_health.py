"""Health: each check by itself, with a sentence that says what is wrong."""

from __future__ import annotations

import re
from contextlib import closing

import pytest
from sqlite_utils.utils import sqlite3

from appliance.errors import StorageUnavailable
from appliance.services import health as health_module
from appliance.services.box import Box
from appliance.services.health import Health
from appliance.services.work import leases
from appliance.services.work.sweep import sweep
from appliance.state import chores
from appliance.state import database as database_module
from appliance.state import work as queue
from tests.support.boxes import DictionaryStore, claim, new_file, new_job, with_settings


def failing(box: Box) -> dict[str, str]:
    """The checks that fail, with their details."""
    return {name: check.detail for name, check in Health(box).check_all().items() if not check.ok}


def test_a_box_with_a_worker_is_healthy(box: Box) -> None:
    leases.start_worker(box, "w", "cpu")
    checks = Health(box).check_all()
    assert all(check.ok for check in checks.values())
    assert (checks["worker"].detail, checks["model"].detail) == ("runs on cpu", "loud-frames@1.0.0")


def test_a_worker_that_never_started_or_is_silent_is_reported(box: Box) -> None:
    assert failing(box) == {"worker": "has not started yet"}
    leases.start_worker(box, "w", "cpu")
    with box.db.transaction() as tx:
        tx.change("UPDATE workers SET seen_at = seen_at - 1000")
    assert re.fullmatch(r"has been silent for 10\d\d s", failing(box).pop("worker"))
    leases.heartbeat(box, "w", [])
    assert failing(box) == {}


def test_of_several_workers_each_must_live(box: Box) -> None:
    leases.start_worker(box, "w", "cuda", 1, 2)
    assert failing(box) == {"worker": "number 2 of 2 has not started yet"}
    leases.start_worker(box, "v", "cuda", 2, 2)
    assert Health(box).check_all()["worker"].detail == "runs on cuda, cuda"
    with box.db.transaction() as tx:
        tx.change("UPDATE workers SET seen_at = seen_at - 1000 WHERE id = 'v'")
    assert re.fullmatch(r"number 2 of 2 has been silent for 10\d\d s", failing(box).pop("worker"))
    leases.heartbeat(box, "v", [])
    assert failing(box) == {}


def test_a_default_model_that_is_missing_is_reported(box: Box) -> None:
    leases.start_worker(box, "w", "cpu")
    faults = failing(with_settings(box, default_model="none"))
    assert list(faults) == ["model"]
    assert "There is no model 'none'" in faults["model"]


def test_storage_that_does_not_answer_is_reported(
    box: Box, objects: DictionaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases.start_worker(box, "w", "cpu")
    monkeypatch.setattr(objects, "ready", lambda: False)
    assert failing(box) == {"storage": "does not answer"}

    def away() -> bool:
        raise StorageUnavailable("It is away.")

    monkeypatch.setattr(objects, "ready", away)
    assert failing(box) == {"storage": "It is away."}


def test_a_database_that_takes_no_writes_is_reported(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    leases.start_worker(box, "w", "cpu")
    monkeypatch.setattr(database_module, "PROBE_SECONDS", 0.05)
    with closing(sqlite3.connect(box.db.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert failing(box) == {"database": "The database stayed locked for 0 s."}
        other.execute("ROLLBACK")
    assert failing(box) == {}


def test_the_probe_of_the_database_writes(box: Box) -> None:
    log = box.db.path.with_name("appliance.db-wal")
    with box.db.transaction():
        size = log.stat().st_size
    box.db.check_writable()
    assert log.stat().st_size > size


def test_a_database_that_the_daily_check_found_damaged_is_reported(box: Box) -> None:
    leases.start_worker(box, "w", "cpu")
    with box.db.transaction() as tx:
        chores.note(tx, "database check", "It is damaged.")
    assert failing(box) == {"database": "It is damaged."}


def test_a_disk_that_is_nearly_full_is_reported(box: Box) -> None:
    leases.start_worker(box, "w", "cpu")
    assert list(failing(with_settings(box, least_free_bytes=10**18))) == ["disk"]


def test_work_that_gets_no_turn_is_reported(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    leases.start_worker(box, "w", "cpu")
    new_file(box, new_job(box))
    health, now = Health(box), [1000.0]
    monkeypatch.setattr("appliance.services.health.time.monotonic", lambda: now[0])
    assert health.check_all()["queue"].ok
    now[0] += 301
    assert health.check_all()["queue"].detail == "nothing is in progress; the oldest work has waited for 301 s"
    assert not health.check_all()["queue"].ok
    claim(box)
    now[0] += 2
    assert health.check_all()["queue"].ok


def test_work_that_is_put_off_is_no_fault_until_it_is_due(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    leases.start_worker(box, "w", "cpu")
    new_file(box, new_job(box))
    leases.retry(box, claim(box), StorageUnavailable("It is away."), counts=False, delay_seconds=1000)
    health, now = Health(box), [1000.0]
    monkeypatch.setattr("appliance.services.health.time.monotonic", lambda: now[0])
    assert health.check_all()["queue"].detail == "empty"
    with box.db.transaction() as tx:
        tx.change("UPDATE work SET run_after = 1")
    now[0] += 2
    assert health.check_all()["queue"].ok
    now[0] += 301
    assert not health.check_all()["queue"].ok


def test_a_sweep_that_no_longer_ends_is_reported(box: Box) -> None:
    leases.start_worker(box, "w", "cpu")
    sweep(box)
    with box.db.transaction() as tx:
        tx.change("UPDATE chores SET ended_at = ended_at - 10000")
    assert failing(box) == {}  # the worker has just started
    with box.db.transaction() as tx:
        tx.change("UPDATE workers SET started_at = started_at - 10000")
    assert re.fullmatch(r"ended 100\d\d s ago", failing(box).pop("sweep"))


def test_the_status_is_initializing_until_a_needed_part_is_late(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("appliance.services.health.time.monotonic", lambda: now[0])
    health = Health(box)
    status = health.status()
    assert (status.name, list(status.reasons)) == ("Initializing", ["worker"])
    now[0] += 121
    assert health.status().name == "Critical"
    leases.start_worker(box, "w", "cpu")
    now[0] += 2
    assert (health.status().name, health.status().reasons) == ("Ready", {})


def test_the_status_is_critical_if_a_needed_part_fails_that_was_up(box: Box, objects: DictionaryStore) -> None:
    leases.start_worker(box, "w", "cpu")
    health = Health(box)
    assert health.status().name == "Ready"
    health._kept_until = 0.0
    objects.is_ready = False
    status = health.status()
    assert (status.name, status.reasons["storage"].detail) == ("Critical", "does not answer")


def test_the_status_is_degraded_if_all_work_is_done_but_something_needs_attention(box: Box) -> None:
    leases.start_worker(box, "w", "cpu")
    warned = Health(with_settings(box, warn_free_bytes=10**18))
    assert (warned.status().name, list(warned.status().reasons)) == ("Degraded", ["disk"])
    assert warned.check_all()["disk"].ok  # uploads still work, so it is ready
    refused = Health(with_settings(box, least_free_bytes=10**18))
    assert (refused.status().name, list(refused.status().reasons)) == ("Degraded", ["disk"])
    assert not refused.check_all()["disk"].ok
    with box.db.transaction() as tx:
        chores.note(tx, "bucket check", "Storage lacks 1 object.")
    status = Health(box).status()
    assert (status.name, status.reasons["bucket"].detail) == ("Degraded", "Storage lacks 1 object.")


def test_probes_in_quick_succession_share_a_result(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health(box)
    now = [1000.0]
    monkeypatch.setattr("appliance.services.health.time.monotonic", lambda: now[0])
    assert health.check_all() is health.check_all()
    before = health.check_all()
    now[0] += 2
    assert health.check_all() is not before


def test_trainings_that_wait_or_run_say_nothing_of_the_queue(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training may take hours: it neither shows that other work goes on, nor is it stuck while it waits."""
    monkeypatch.setattr(health_module, "STUCK_SECONDS", 0.0)
    with box.db.transaction() as tx:
        queue.enqueue(tx, "training", "waits", pool="training", tenant_id=1, group_id="waits")
    assert Health(box).check_all()["queue"].ok
    with box.db.transaction() as tx:
        queue.claim(tx, "w", 60.0, "training")
        queue.enqueue(tx, "purge", "folder", pool="storage", tenant_id=1, group_id="folder")
    assert not Health(box).check_all()["queue"].ok
