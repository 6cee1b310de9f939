"""The status and the counts of a job follow from its files."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from appliance.state import inference_files, inference_jobs, webhooks
from appliance.state.database import Database

ENDED = {"completed", "failed", "cancelled"}


def expected_status(statuses: tuple[str, ...]) -> str:
    """The status of a job by the rules of the contract, in their order."""
    if all(status == "pending" for status in statuses):
        return "pending"
    if any(status not in ENDED for status in statuses):
        return "processing"
    if all(status == "failed" for status in statuses):
        return "failed"
    return "completed"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], "pending"),
        (["pending"], "pending"),
        (["pending", "pending"], "pending"),
        (["queued"], "processing"),
        (["processing"], "processing"),
        (["completed"], "completed"),
        (["failed"], "failed"),
        (["failed", "failed"], "failed"),
        (["failed", "completed"], "completed"),
        (["completed", "pending"], "processing"),
        (["completed", "queued"], "processing"),
        (["failed", "pending"], "processing"),
        (["failed", "processing"], "processing"),
    ],
)
def test_the_status_of_a_job(
    db: Database, make_job: Callable[..., None], make_file: Callable[..., None], statuses: list[str], expected: str
) -> None:
    make_job("j")
    for number, status in enumerate(statuses):
        make_file("j", str(number), status)
    job = inference_jobs.get_job(db, 1, "j")
    assert job is not None
    assert job.status == expected == expected_status(tuple(statuses))
    assert job.total_files == len(statuses)
    assert job.processed_files == sum(status in ENDED for status in statuses)


def test_every_mixture_of_three_files(
    db: Database, make_job: Callable[..., None], make_file: Callable[..., None]
) -> None:
    statuses = ["pending", "queued", "processing", "completed", "failed"]
    for mixture in itertools.combinations_with_replacement(statuses, 3):
        job_id = "-".join(mixture)
        make_job(job_id)
        for number, status in enumerate(mixture):
            make_file(job_id, f"{job_id}/{number}", status)
        job = inference_jobs.get_job(db, 1, job_id)
        assert job is not None
        assert job.status == expected_status(mixture), mixture


def test_cancelling_changes_only_unfinished_files(
    db: Database, make_job: Callable[..., None], make_file: Callable[..., None]
) -> None:
    make_job("j")
    make_job("other")
    make_file("other", "theirs", "queued")
    for status in ("pending", "queued", "processing", "completed", "failed"):
        make_file("j", status, status)
    with db.transaction() as tx:
        inference_jobs.cancel_job(tx, "j")
    job = inference_jobs.get_job(db, 1, "j")
    assert job is not None
    assert (job.status, job.total_files, job.processed_files) == ("cancelled", 5, 5)
    assert [file.status for file in inference_files.list_files(db, "j")] == ["cancelled"] * 3 + ["completed", "failed"]
    assert [file.status for file in inference_files.list_files(db, "other")] == ["queued"]


def test_a_change_of_a_file_is_a_change_of_its_job(
    db: Database, make_job: Callable[..., None], make_file: Callable[..., None]
) -> None:
    make_job("j")
    make_file("j", "f")
    with db.transaction() as tx:
        tx.change("UPDATE inference_files SET updated_at = updated_at + 100")
    job = inference_jobs.get_job(db, 1, "j")
    assert job is not None
    assert job.updated_at >= job.created_at + 100


def test_a_job_belongs_to_its_tenant(db: Database, make_job: Callable[..., None]) -> None:
    make_job("j")
    assert inference_jobs.get_job(db, 2, "j") is None
    assert inference_jobs.list_jobs(db, 2, model_name=None, model_version=None, status=None, before=None, limit=9) == []


def test_lists_are_read_in_their_order_by_an_index(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """No list of a tenant's jobs, of a job's files or of deliveries is sorted, or filtered row by row by its status."""
    plans: list[str] = []
    read = db.all

    def explained(sql: str, parameters: Any = ()) -> Any:
        plans.extend(row["detail"] for row in read(f"EXPLAIN QUERY PLAN {sql}", parameters))
        return read(sql, parameters)

    monkeypatch.setattr(db, "all", explained)
    page: dict[str, Any] = {"before": None, "limit": 10}
    for status in (None, "failed"):
        inference_jobs.list_jobs(db, 1, model_name=None, model_version=None, status=status, **page)
        inference_files.list_files(db, "j", status=status, limit=10)
        webhooks.list_deliveries(db, 1, status=status, **page)
    assert len(plans) == 6
    assert not [line for line in plans if "SCAN" in line or "TEMP" in line]
    assert sum("status=?" in line for line in plans) >= 2, plans
