"""The wall clock is set by a day, either way: nothing waits until it catches up, and no upload ends early."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance import ROOT
from appliance.errors import StorageUnavailable
from appliance.services.box import Box
from appliance.services.webhooks import events
from appliance.services.work import leases
from appliance.services.work.clock import Clock, move_times
from appliance.services.work.sweep import sweep
from appliance.state import inference_files
from tests.support.appliances import PATIENCE_SECONDS
from tests.support.boxes import CALLBACK, claim, new_file, new_job

DAY = 86_400.0


def set_back(box: Box, seconds: float) -> None:
    """Store the times as they are after the clock was set back: later by as much."""
    with box.db.transaction() as tx:
        tx.change("UPDATE work SET run_after = run_after + ?", [seconds])
        for table in ("inference_files", "audio", "media"):
            tx.change(f"UPDATE {table} SET upload_expires_at = upload_expires_at + ?", [seconds])


def waits(box: Box) -> list[float | None]:
    return [
        row["wait"] and round(row["wait"], -1)
        for row in box.db.all("SELECT run_after - unixepoch('subsec') AS wait FROM work ORDER BY id")
    ]


def test_work_that_was_never_tried_has_no_time_at_all(box: Box) -> None:
    new_file(box, new_job(box))
    assert waits(box) == [None]


def test_after_a_step_back_a_retry_waits_as_long_as_it_would_have(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RETRY_SECONDS", 600.0)
    new_file(box, new_job(box))
    leases.retry(box, claim(box), StorageUnavailable("It is away."), counts=False)
    clock = Clock(box.settings.data_dir)
    set_back(box, DAY)
    now = time.time() - DAY
    monkeypatch.setattr(time, "time", lambda: now)
    clock.follow(box)
    assert waits(box) == [600.0]
    clock.follow(box)  # one step is followed once
    assert waits(box) == [600.0]


def test_after_a_step_while_no_worker_ran_nothing_waits_longer_than_the_longest_wait(box: Box) -> None:
    longest = max(box.settings.webhook_retry_seconds)
    new_file(box, new_job(box))
    leases.retry(box, claim(box), StorageUnavailable("It is away."), counts=False)
    set_back(box, 30 * DAY)
    move_times(box, 0.0)
    assert waits(box) == [longest]


def test_after_a_step_forward_a_pending_upload_does_not_fail(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, None, confirm=False)
    (box.settings.data_dir / "run").mkdir(exist_ok=True)
    Clock(box.settings.data_dir).follow(box)
    set_back(box, -DAY)
    now = time.time() + DAY
    monkeypatch.setattr(time, "time", lambda: now)
    Clock(box.settings.data_dir).follow(box)  # of a worker that was started after the step
    sweep(box)
    file = inference_files.find_file(box.db, file_id)
    assert file is not None
    assert file.status == "pending"


def test_a_pending_upload_of_a_wrong_clock_still_ends(box: Box) -> None:
    """The clock was years ahead, and nobody ran when it was set right."""
    file_id = new_file(box, new_job(box), None, confirm=False)
    set_back(box, 1000 * DAY)
    move_times(box, 0.0)
    file = inference_files.find_file(box.db, file_id)
    assert file is not None
    bound = box.settings.upload_expires_seconds + box.settings.upload_grace_seconds
    assert file.upload_expires_at - time.time() == pytest.approx(bound, abs=60)


def test_a_webhook_shows_the_time_of_its_next_try(box: Box) -> None:
    with box.db.transaction() as tx:
        events.announce(tx, 1, "a-job", CALLBACK, "file.completed", {})
        tx.change("UPDATE webhook_deliveries SET next_attempt_at = next_attempt_at + 100")
    move_times(box, -3600.0)
    [row] = box.db.all("SELECT next_attempt_at - created_at AS wait FROM webhook_deliveries")
    assert row["wait"] == pytest.approx(-3500.0, abs=30)


LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
SCRIPT = """
import sys, time
from pathlib import Path
from appliance.services.work.clock import Clock, move_times
from appliance.state import work
from tests.support.boxes import DictionaryStore, make_box

folder, models, set_clock = map(Path, sys.argv[1:])
box = make_box(folder, models, DictionaryStore())
for subject in ("retry", "leased"):
    with box.db.transaction() as tx:
        work.enqueue(tx, "purge", subject, pool="storage", tenant_id=1, group_id=subject)
with box.db.transaction() as tx:
    retry, leased = (work.claim(tx, "w", 60, "storage") for _ in range(2))
    work.release(tx, retry, attempts=1, delay_seconds=100)
clock, before = Clock(box.settings.data_dir), time.time()
for days in (-1, 1):
    set_clock.write_text(f"{days:+d}d")
    assert abs(time.time() - before - days * 86400) < 3600, "the clock was not set"
    clock.follow(box)
    with box.db.transaction() as tx:
        assert work.release_expired(tx) == []
        assert work.extend(tx, [leased], 60) == {leased}
    [row] = box.db.all("SELECT run_after - unixepoch('subsec') AS wait FROM work WHERE subject_id = 'retry'")
    assert 50 < row["wait"] <= 100, row["wait"]
"""


@pytest.mark.slow
def test_retries_and_leases_under_a_clock_that_is_really_set(tmp_path: Path, box_models: Path) -> None:
    assert LIBRARY, "libfaketime is not installed; scripts/test installs Debian's package faketime"
    set_clock = tmp_path / "clock"
    set_clock.write_text("+0")
    environment = os.environ | {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(set_clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "data"), str(box_models), str(set_clock)]
    (tmp_path / "data").mkdir()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=PATIENCE_SECONDS)
