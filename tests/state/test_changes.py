"""Changes: each job and file once, in the order of their last change, at the same cost however many there are."""

from __future__ import annotations

from collections.abc import Callable

from appliance.state import changes, inference_files, inference_jobs
from appliance.state.database import Database


def test_a_change_of_a_file_is_one_of_its_job_too(
    db: Database, make_job: Callable[..., None], make_file: Callable[..., None]
) -> None:
    make_job("j")
    make_job("k", 1)
    make_file("j", "a")
    make_file("k", "b")
    place = changes.last_place(db, 1)
    with db.transaction() as tx:
        assert inference_files.mark_failed(tx, "a", "pending", "c", "Why.")
    assert {(change.job_id, change.file_id) for change in changes.list_changes(db, 1, place, 9)} == {
        ("j", None),
        ("j", "a"),
    }
    assert changes.list_changes(db, 2, 0, 9) == []
    everything = changes.list_changes(db, 1, 0, 9)
    assert len(everything) == 4
    assert [change.sequence for change in everything] == sorted(change.sequence for change in everything)


def test_what_is_deleted_is_a_change_and_a_deleted_job_is_one(
    db: Database, make_job: Callable[..., None], make_file: Callable[..., None]
) -> None:
    make_job("j")
    make_file("j", "a")
    make_file("j", "b")
    place = changes.last_place(db, 1)
    with db.transaction() as tx:
        inference_files.delete_file(tx, "a")
    assert ("j", "a") in {(change.job_id, change.file_id) for change in changes.list_changes(db, 1, place, 9)}
    with db.transaction() as tx:
        inference_jobs.delete_job(tx, "j")
    assert [(change.job_id, change.file_id) for change in changes.list_changes(db, 1, 0, 9)] == [("j", None)]


def test_old_changes_are_forgotten_and_the_place_stays(db: Database, make_job: Callable[..., None]) -> None:
    for name in "abc":
        make_job(name)
    last = changes.last_place(db, 1)
    with db.transaction() as tx:
        tx.change("UPDATE changes SET changed_at = 0 WHERE job_id IN ('a', 'b', 'c')")
        changes.forget_old(tx, 60.0, 2)
    assert [change.job_id for change in changes.list_changes(db, 1, 0, 9)] == ["c"]
    assert (changes.forgotten_place(db, 1), changes.forgotten_place(db, 2)) == (last - 1, 0)
    with db.transaction() as tx:
        changes.forget_old(tx, 60.0, 9)
    assert changes.last_place(db, 1) == last


def test_a_poll_reads_an_index_alone(db: Database) -> None:
    for sql in (
        "SELECT max(sequence) AS place FROM changes WHERE tenant_id = 1",
        "SELECT sequence, job_id, file_id FROM changes WHERE tenant_id = 1 AND sequence > 5 ORDER BY sequence LIMIT 9",
    ):
        plan = " ".join(row["detail"] for row in db.all(f"EXPLAIN QUERY PLAN {sql}"))
        assert "SEARCH changes USING" in plan
        assert "changes_of_tenant" in plan
        assert "B-TREE" not in plan
