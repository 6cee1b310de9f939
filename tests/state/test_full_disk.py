"""A database that cannot grow. The limit is SQLite's own; tests/contract/test_full_disk.py fills a real disk."""

from __future__ import annotations

import pytest

from appliance.errors import StorageFull
from appliance.state.database import Database


def fill(db: Database) -> None:
    with db.transaction() as tx:
        for number in range(10_000):
            tx.insert("datasets", id=f"{number}", tenant_id=1, name="d", description="x" * 4000)


def test_a_full_database_is_named_and_the_thread_can_go_on(db: Database) -> None:
    limit = db._connection.execute("PRAGMA max_page_count").fetchone()[0]
    pages = db._connection.execute("PRAGMA page_count").fetchone()[0]
    db._connection.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(2):
        with pytest.raises(StorageFull):
            fill(db)
    assert db.all("SELECT id FROM datasets") == []
    db._connection.execute(f"PRAGMA max_page_count = {limit}")
    with db.transaction() as tx:
        tx.insert("datasets", id="a", tenant_id=1, name="d", description="x" * 4000)
    assert len(db.all("SELECT id FROM datasets")) == 1
