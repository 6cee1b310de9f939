"""Health: each check by itself, with a sentence that says what is wrong."""

from __future__ import annotations

import pytest

from appliance.errors import StorageUnavailable
from appliance.services import health
from appliance.services.box import Box
from appliance.services.work import leases
from tests.support.boxes import DictionaryStore, with_settings


def failing(box: Box) -> dict[str, str]:
    """The checks that fail, with their details."""
    return {name: check.detail for name, check in health.check_all(box).items() if not check.ok}


def test_a_box_with_a_worker_is_healthy(box: Box) -> None:
    leases.start_worker(box, "w", "cpu")
    checks = health.check_all(box)
    assert all(check.ok for check in checks.values())
    assert (checks["worker"].detail, checks["model"].detail) == ("runs on cpu", "loud-frames@1.0.0")


def test_a_worker_that_never_started_or_is_silent_is_reported(box: Box) -> None:
    assert failing(box) == {"worker": "has not started yet"}
    leases.start_worker(box, "w", "cpu")
    with box.db.transaction() as tx:
        tx.change("UPDATE workers SET seen_at = seen_at - 1000")
    assert failing(box) == {"worker": "has been silent for 1000 s"}
    leases.heartbeat(box, "w", [])
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
