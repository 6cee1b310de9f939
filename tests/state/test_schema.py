"""SQL refuses impossible rows and moves, whatever code writes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError, DatabaseBusy, StateError
from appliance.state import chores, inference_files
from appliance.state import database as database_module
from appliance.state.checks import NAMES
from appliance.state.database import Database, Transaction
from appliance.state.inference_files import FileDetection
from appliance.state.moves import FILE, MACHINES, Machine

STATUSES = ["pending", "queued", "processing", "completed", "failed", "cancelled"]
INSERT_WORK = "INSERT INTO work (kind, subject_id, pool, tenant_id, group_id) VALUES"


@pytest.fixture
def file_db(db: Database, make_job: Callable[..., None], make_file: Callable[..., None]) -> Database:
    make_job("j")
    for status in STATUSES:
        make_file("j", status, status)
    return db


@pytest.mark.parametrize(
    ("file_id", "change"),
    [
        ("pending", "status = 'done'"),
        ("pending", "status = 'queued'"),  # without the tag that confirm stores
        ("pending", "status = 'completed', duration_ms = 5"),
        ("pending", "status = 'failed'"),  # without a reason
        ("pending", "status = 'failed', error_message = 'Why.'"),  # without its code
        ("pending", "status = 'failed', error_code = 'c'"),
        ("pending", "error_message = 'Why.', error_code = 'c'"),
        ("pending", "duration_ms = 5"),
        ("pending", "declared_size_bytes = 0"),
        ("pending", "declared_size_bytes = 'x'"),
        ("pending", "declared_size_bytes = 1.5"),
        ("pending", "original_filename = NULL"),
        ("pending", "object_key = (SELECT object_key FROM inference_files WHERE id = 'queued')"),
        ("pending", "job_id = 'none'"),
        ("pending", "id = 'queued'"),
        ("processing", "status = 'completed'"),  # without a duration
        ("processing", "status = 'completed', duration_ms = 0"),
        ("processing", "etag = NULL"),
        ("completed", "duration_ms = NULL"),
        ("completed", "error_message = 'Why.', error_code = 'c'"),
        ("completed", "status = 'queued'"),  # with its duration
        ("failed", "error_message = NULL, error_code = NULL"),
        ("failed", "status = 'queued'"),  # with its reason
    ],
)
def test_an_impossible_file_is_refused(file_db: Database, file_id: str, change: str) -> None:
    before = [tuple(row) for row in file_db.all("SELECT * FROM inference_files")]
    with pytest.raises(StateError), file_db.transaction() as tx:
        tx.change(f"UPDATE inference_files SET {change} WHERE id = ?", [file_id])
    assert [tuple(row) for row in file_db.all("SELECT * FROM inference_files")] == before


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "confidence"),
    [(-1, 5, 0.5), (5, 5, 0.5), (5, 4, 0.5), (0, 5, -0.1), (0, 5, 1.1), (0.5, 5, 0.5), ("x", 5, 0.5), (0, 5, None)],
)
def test_an_impossible_detection_is_refused(file_db: Database, start_ms: int, end_ms: int, confidence: float) -> None:
    good = FileDetection("click", 1, 2, 0.5)
    with pytest.raises(StateError), file_db.transaction() as tx:
        inference_files.mark_completed(
            tx, "processing", 10, [good, FileDetection("click", start_ms, end_ms, confidence)]
        )
    assert file_db.all("SELECT * FROM detections") == []
    file = inference_files.find_file(file_db, "processing")
    assert file is not None
    assert file.status == "processing"


@pytest.mark.parametrize(
    "statement",
    [
        f"{INSERT_WORK} ('inference', 'x', 'lanes', 1, 'g')",  # the same twice
        f"{INSERT_WORK} ('inference', 'y', 'lanes', 1, '')",
        "UPDATE work SET lease_owner = 'w'",
        "UPDATE work SET lease_until = 5",
        "UPDATE work SET lease_owner = 'w', lease_until = 5, run_after = 5",
        "UPDATE work SET attempts = -1",
        "UPDATE work SET lost_leases = -1",
        "INSERT INTO tenants (name, created_at) VALUES ('', 0)",
        "INSERT INTO tenants (name, created_at) VALUES ('one', 0)",
        "INSERT INTO api_keys (tenant_id, name, key_hash, created_at) VALUES (9, 'k', zeroblob(32), 0)",
        "INSERT INTO api_keys (tenant_id, name, key_hash, created_at) VALUES (1, 'k', zeroblob(31), 0)",
        "INSERT INTO api_keys (tenant_id, name, key_hash, created_at) VALUES (1, 'k', 'text', 0)",
        "UPDATE inference_jobs SET config = 'x'",
        "UPDATE inference_jobs SET config = '[]'",
        "UPDATE inference_jobs SET tenant_id = 9",
    ],
)
def test_other_impossible_rows_are_refused(file_db: Database, statement: str) -> None:
    with file_db.transaction() as tx:
        tx.change(f"{INSERT_WORK} ('inference', 'x', 'lanes', 1, 'g')")
    with pytest.raises(StateError), file_db.transaction() as tx:
        tx.change(statement)


def test_a_move_changes_only_rows_of_the_status_that_it_leaves(file_db: Database) -> None:
    """Every move is tried from every status. It changes only rows with the status that it leaves."""
    moves: dict[str, tuple[str, Callable[[Transaction, str], bool]]] = {
        "queued": ("pending", lambda tx, i: inference_files.mark_queued(tx, i, "pending", f"j/{i}", "tag")),
        "processing": ("queued", inference_files.mark_processing),
        "released": ("processing", inference_files.mark_released),
        "completed": ("processing", lambda tx, i: inference_files.mark_completed(tx, i, 5, [])),
        "failed": ("processing", lambda tx, i: inference_files.mark_failed(tx, i, "processing", "c", "Why.")),
        "unused": ("pending", lambda tx, i: inference_files.mark_failed(tx, i, "pending", "c", "Why.")),
    }

    class Undo(Exception):
        pass

    for leaving, move in moves.values():
        for status in STATUSES:
            with pytest.raises(Undo), file_db.transaction() as tx:  # noqa: PT012
                assert move(tx, status) == (status == leaving)
                raise Undo


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.table)
def test_the_status_check_and_the_moves_trigger_match_the_list(db: Database, machine: Machine) -> None:
    table = db.all("SELECT sql FROM sqlite_schema WHERE name = ?", [machine.table])[0]["sql"]
    check = re.search(rf"CONSTRAINT {machine.table}_status CHECK \(status IN \(([^)]*)\)\)", table)
    assert check is not None
    assert tuple(re.findall(r"'(\w+)'", check[1])) == machine.statuses
    trigger = db.all("SELECT sql FROM sqlite_schema WHERE name = ?", [f"{machine.table}_moves"])[0]["sql"]
    pairs = re.findall(r"\('(\w+)', '(\w+)'\)", trigger)
    assert pairs == [(move.leaving, move.entering) for move in machine.moves]
    assert {status for pair in pairs for status in pair} | set(machine.initial) == set(machine.statuses)


def test_a_move_that_is_not_listed_is_refused_by_sql(file_db: Database) -> None:
    for leaving in STATUSES:
        for entering in {*STATUSES} - {leaving}:
            if FILE.allows(leaving, entering):
                continue
            with pytest.raises(StateError, match=r"not listed in moves\.py"), file_db.transaction() as tx:
                tx.change("UPDATE inference_files SET status = ? WHERE id = ?", [entering, leaving])


def test_a_move_that_is_not_listed_is_refused_before_sql(file_db: Database) -> None:
    with pytest.raises(StateError, match="completed to queued is not listed"), file_db.transaction() as tx:
        tx.move(FILE, "completed", "completed", "queued")


def test_every_check_has_a_name_that_the_error_shows(file_db: Database) -> None:
    for row in file_db.all("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%CHECK%'"):
        names = re.findall(r"CONSTRAINT (\w+) CHECK", row["sql"])
        assert len(names) == row["sql"].count("CHECK ("), row["name"]
        assert set(names) >= {f"{row['name']}_{rule}" for rule in NAMES.get(row["name"], {})}
    with pytest.raises(StateError, match="inference_files_size_positive"), file_db.transaction() as tx:
        tx.change("UPDATE inference_files SET declared_size_bytes = 0")


def test_everything_in_a_transaction_commits_together_or_not_at_all(db: Database) -> None:
    with pytest.raises(StateError), db.transaction() as tx:  # noqa: PT012
        tx.change("INSERT INTO tenants (name, created_at) VALUES ('two', 0)")
        tx.change("INSERT INTO tenants (name, created_at) VALUES ('two', 0)")
    assert [row["name"] for row in db.all("SELECT name FROM tenants")] == ["one"]


def test_a_lock_that_stays_is_a_busy_database(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.05)
    other = Database(db.path)
    with db.transaction(), pytest.raises(DatabaseBusy), other.transaction():
        pass


def test_migrating_again_changes_nothing(db: Database) -> None:
    before = [tuple(row) for row in db.all("SELECT * FROM sqlite_master ORDER BY name")]
    db.migrate()
    Database(db.path).migrate()
    assert [tuple(row) for row in db.all("SELECT * FROM sqlite_master ORDER BY name")] == before
    assert [row[0] for row in db.all("PRAGMA journal_mode")] == ["wal"]
    assert db.all("PRAGMA foreign_key_check") == []


def test_audio_that_was_queued_beside_analyses_is_queued_again_in_the_background(db: Database) -> None:
    rows = "('hear', 'a', 'lanes', 1, 'd'), ('hear', 'b', 'hearing', 1, 'd'), ('embed', 'a', 'lanes', 1, 'd')"
    with db.transaction() as tx:
        tx.change(f"{INSERT_WORK} {rows}")
        chores.note(tx, "unheard audio")
        tx.change("DELETE FROM _sqlite_migrations WHERE name = 'm038_hearing_in_the_background'")
    db.migrate()
    left = db.all("SELECT kind, subject_id, pool FROM work ORDER BY id")
    assert [tuple(row) for row in left] == [("hear", "b", "hearing"), ("embed", "a", "lanes")]
    assert [row[0] for row in db.all("SELECT sum(ready) FROM work_turns WHERE group_id <> ''")] == [2]
    assert chores.last(db, "unheard audio") is None  # so it runs when the worker starts


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.9.0", "2.100.0"])
def test_an_sqlite_that_can_corrupt_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr("appliance.state.database.sqlite3.sqlite_version", version)
    with pytest.raises(ConfigurationError, match=rf"SQLite {version}.*3\.51\.3"):
        Database(tmp_path / "appliance.db")


@pytest.mark.parametrize("version", ["3.51.3", "3.52.0", "4.0.0"])
def test_an_sqlite_without_that_bug_is_accepted(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr("appliance.state.database.sqlite3.sqlite_version", version)
    assert database_module.check_sqlite() == version
