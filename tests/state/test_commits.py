"""Waiting for commits of others."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError
from appliance.state import commits
from appliance.state.commits import Commits
from appliance.state.database import Database

NEVER = 3600.0  # the test would time out


@pytest.fixture
def db(tmp_path: Path, migrated: Path) -> Database:
    shutil.copy(migrated, tmp_path)
    db = Database(tmp_path / "appliance.db")
    db.migrate()
    return db


@pytest.fixture
def watch(db: Database) -> Iterator[Commits]:
    watch = Commits.of(db)
    watch.wait(0, threading.Event())
    yield watch
    watch.close()


def commit(db: Database) -> None:
    other = Database(db.path)
    with other.transaction() as tx:
        tx.insert("tenants", stamps=("created_at",), name=threading.current_thread().name)
    other.close()


def test_a_commit_ends_the_wait(db: Database, watch: Commits) -> None:
    for _ in range(20):
        thread = threading.Timer(0.02, commit, [db])
        thread.start()
        watch.wait(NEVER, threading.Event())
        thread.join()
        watch.wait(0, threading.Event())


def test_a_commit_before_the_wait_ends_it(db: Database, watch: Commits) -> None:
    commit(db)
    watch.wait(NEVER, threading.Event())


def test_without_a_commit_the_wait_ends_by_time(db: Database, watch: Commits) -> None:
    write = threading.Timer(0.02, (db.path.parent / "other").write_text, ["no commit"])
    write.start()
    watch.wait(0.1, threading.Event())
    write.join()


def test_a_user_who_may_watch_nothing_more_is_told(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(commits, "INotify", refuse)
    with pytest.raises(ConfigurationError, match="max_user_instances"):
        Commits.of(db)
