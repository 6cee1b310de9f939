"""SQL refuses impossible rows, whoever writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError, DatabaseBusy, StateError
from appliance.state import database as database_module
from appliance.state import inference_files
from appliance.state.database import Database
from appliance.state.inference_files import FileDetection

STATUSES = ["pending", "queued", "processing", "completed", "failed", "cancelled"]


@pytest.fixture
def file_db(db: Database, make_job: Callable, make_file: Callable) -> Database:
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
def test_a_file_cannot_be_what_makes_no_sense(file_db: Database, file_id: str, change: str) -> None:
    before = [tuple(row) for row in file_db.all("SELECT * FROM inference_files")]
    with pytest.raises(StateError), file_db.transaction():
        file_db.change(f"UPDATE inference_files SET {change} WHERE id = ?", [file_id])
    assert [tuple(row) for row in file_db.all("SELECT * FROM inference_files")] == before


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "confidence"),
    [(-1, 5, 0.5), (5, 5, 0.5), (5, 4, 0.5), (0, 5, -0.1), (0, 5, 1.1), (0.5, 5, 0.5), ("x", 5, 0.5), (0, 5, None)],
)
def test_a_detection_cannot_be_what_makes_no_sense(
    file_db: Database, start_ms: int, end_ms: int, confidence: float
) -> None:
    good = FileDetection("click", 1, 2, 0.5)
    with pytest.raises(StateError), file_db.transaction():
        inference_files.mark_completed(
            file_db, "processing", 10, [good, FileDetection("click", start_ms, end_ms, confidence)]
        )
    assert file_db.all("SELECT * FROM detections") == []
    found = inference_files.find_file(file_db, "processing")
    assert found is not None
    assert found.status == "processing"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO work (kind, subject_id, group_id, run_after) VALUES ('inference', 'x', 'g', 0)",  # twice the same
        "UPDATE work SET lease_owner = 'w'",
        "UPDATE work SET lease_until = 5",
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
def test_other_rows_cannot_be_what_makes_no_sense(file_db: Database, statement: str) -> None:
    with file_db.transaction():
        file_db.change("INSERT INTO work (kind, subject_id, group_id, run_after) VALUES ('inference', 'x', 'g', 0)")
    with pytest.raises(StateError), file_db.transaction():
        file_db.change(statement)


def test_a_transition_leaves_the_state_it_names_alone(file_db: Database) -> None:
    """Every transition from every state: only the one that it is for moves."""
    moves: dict[str, tuple[str, Callable[[str], bool]]] = {
        "queued": ("pending", lambda i: inference_files.mark_queued(file_db, i, "tag")),
        "processing": ("queued", lambda i: inference_files.mark_processing(file_db, i)),
        "requeued": ("processing", lambda i: inference_files.mark_requeued(file_db, i)),
        "completed": ("processing", lambda i: inference_files.mark_completed(file_db, i, 5, [])),
        "failed": ("processing", lambda i: inference_files.mark_failed(file_db, i, "processing", "c", "Why.")),
        "unused": ("pending", lambda i: inference_files.mark_failed(file_db, i, "pending", "c", "Why.")),
    }

    class Undo(Exception):
        pass

    for leaving, move in moves.values():
        for status in STATUSES:
            with pytest.raises(Undo), file_db.transaction():  # noqa: PT012
                assert move(status) == (status == leaving)
                raise Undo


def test_everything_in_a_transaction_commits_together_or_not_at_all(db: Database) -> None:
    with pytest.raises(StateError), db.transaction():  # noqa: PT012
        db.change("INSERT INTO tenants (name, created_at) VALUES ('two', 0)")
        db.change("INSERT INTO tenants (name, created_at) VALUES ('two', 0)")
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


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.9.0", "2.100.0"])
def test_an_sqlite_that_can_corrupt_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(database_module.sqlite3, "sqlite_version", version)
    with pytest.raises(ConfigurationError, match=rf"SQLite {version}.*3\.51\.3"):
        Database(tmp_path / "appliance.db")


@pytest.mark.parametrize("version", ["3.51.3", "3.52.0", "4.0.0"])
def test_an_sqlite_without_that_fault_is_taken(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(database_module.sqlite3, "sqlite_version", version)
    assert database_module.check_sqlite() == version
