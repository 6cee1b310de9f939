"""The page of metrics: the figures of all processes, at the same cost however much is queued."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families

from appliance.errors import Stopped
from appliance.services import exposition
from appliance.services.box import Box
from appliance.services.health import Health
from appliance.services.work import leases
from appliance.state import work as queue
from appliance.state.database import Database
from tests.support.boxes import claim, new_file, new_job

STOPPED = Stopped("The worker is stopping.")


def samples(box: Box) -> dict[tuple[str, ...], float]:
    """The samples of the page by name and labels."""
    text = exposition.page(box, Health(box)).decode()
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_queue_is_shown_by_kind_and_state(box: Box) -> None:
    job_id = new_job(box)
    for _ in range(3):
        new_file(box, job_id)
    work = claim(box)
    leases.retry(box, work, STOPPED, counts=False)
    claim(box)
    with box.db.transaction() as tx:
        tx.change("UPDATE work SET ready_at = ready_at - 100")
    shown = samples(box)
    states = ("ready", "put_off", "busy")
    assert [shown["appliance_queue_pieces", "kind=inference", f"state={state}"] for state in states] == [1, 1, 1]
    assert 100 <= shown["appliance_queue_oldest_seconds", "kind=inference"] < 160
    leases.fail(box, claim(box), STOPPED)
    shown = samples(box)
    assert [shown["appliance_queue_pieces", "kind=inference", f"state={state}"] for state in states] == [0, 1, 1]
    assert shown["appliance_queue_oldest_seconds", "kind=inference"] == 0


def test_the_age_begins_when_work_that_was_put_off_is_ready(box: Box) -> None:
    new_file(box, new_job(box))
    work = claim(box)
    leases.retry(box, work, STOPPED, counts=False)
    with box.db.transaction() as tx:
        tx.change("UPDATE work SET ready_at = ready_at - 1000, run_after = run_after - 1000")
        queue._wake(tx, "lanes")
    assert queue.depths(box.db)[0].oldest_seconds < 60


def test_both_processes_are_in_one_family(box: Box) -> None:
    leases.start_worker(box, "w", "cpu")  # waits for the database's lock
    (box.settings.data_dir / "run").mkdir()
    registry = CollectorRegistry()
    Counter("appliance_decoder_deaths", "Deaths.", registry=registry).inc(7)
    file = box.settings.data_dir / "run" / "worker.prom"
    write_to_textfile(str(file), registry)
    shown = samples(box)
    assert shown["appliance_decoder_deaths_total", "process=worker"] == 7
    assert ("appliance_decoder_deaths_total", "process=api") in shown
    assert shown["appliance_database_wait_seconds_count", "process=api"] > 0
    os.utime(file, (0, time.time() - 61))  # of a worker that is gone
    assert ("appliance_decoder_deaths_total", "process=worker") not in samples(box)


def test_a_process_writes_what_it_counts(box: Box) -> None:
    (box.settings.data_dir / "run").mkdir()
    exposition.write(box.settings.data_dir, "worker")
    assert samples(box)["process_resident_memory_bytes", "process=worker"] > 0


def test_the_status_and_the_disk_are_shown(box: Box) -> None:
    leases.start_worker(box, "w", "cpu", 1, 2)
    leases.start_worker(box, "v", "cpu", 2, 2)
    shown = samples(box)
    assert shown["appliance_status", "status=Ready"] == 1
    assert shown["appliance_status", "status=Critical"] == 0
    assert shown["appliance_check_ok", "check=storage"] == 1
    assert shown[("appliance_disk_free_bytes",)] > 0
    assert shown["appliance_database_bytes", "file=main"] > 0
    for number in (1, 2):
        assert shown["appliance_worker_silent_seconds", "provider=cpu", f"worker={number}"] < 60


def test_a_front_door_that_does_not_answer_leaves_the_page_whole(box: Box) -> None:
    shown = samples(box)
    assert shown["appliance_server_figures", "process=frontdoor"] == 0
    assert ("appliance_server_figures", "process=storage") not in shown  # this one counts nothing
    assert shown["appliance_check_ok", "check=storage"] == 1


def test_no_query_of_the_page_reads_the_whole_queue(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the plan of each query, not by time: a scan is allowed only of the tables that never grow."""
    sent: list[str] = []
    run = Database.all

    def noted(self: Database, sql: str, *values: Any) -> list[Any]:
        sent.append(sql)
        return run(self, sql, *values)

    monkeypatch.setattr(Database, "all", noted)
    samples(box)
    monkeypatch.undo()
    depths = next(sql for sql in sent if "busy" in sql)
    plan = [row["detail"] for row in box.db.all(f"EXPLAIN QUERY PLAN {depths}")]
    assert [line for line in plan if "SCAN" in line and "CORRELATED" not in line] == ["SCAN k"]
    assert any("SEARCH work USING INDEX work_oldest (kind=?)" in line for line in plan), plan
