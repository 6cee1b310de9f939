"""What several threads write at the same moment commits together, and each gets its own result or error."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from appliance.errors import ApplianceError, ChangeRefused, LeaseLost, StateError
from appliance.state.database import Database, Transaction
from appliance.state.together import MOST, Together
from tests.support.appliances import PATIENCE_SECONDS, wait_for

INSERT = "INSERT INTO tenants (name, created_at) VALUES (?, 0)"


def names(db: Database) -> list[str]:
    return [row["name"] for row in db.all("SELECT name FROM tenants WHERE id > 1 ORDER BY id")]


class Fixture:
    """Writers that wait behind one that is held at a gate, so that they commit together."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.gate = threading.Event()
        self.transactions = 0
        self.fails: Exception | None = None
        self.together = Together(self._transaction)
        self.pool = ThreadPoolExecutor(2 * MOST)

    @contextmanager
    def _transaction(self) -> Any:
        self.transactions += 1
        with self.db.transaction() as tx:
            yield tx
            if self.fails and self.transactions > 1:
                raise self.fails

    def hold(self) -> Future:
        def first(tx: Transaction) -> None:
            assert self.gate.wait(PATIENCE_SECONDS)

        future = self.pool.submit(self.together.write, first)
        wait_for(lambda: self.transactions == 1)
        return future

    def add(self, *names: str) -> list[Future]:
        """Begin to write each name on a thread, in order."""
        futures = []
        for name in names:
            futures.append(self.pool.submit(self.together.write, lambda tx, name=name: tx.change(INSERT, [name])))
            wait_for(lambda: len(self.together._waiting) == len(futures))
        return futures


@pytest.fixture
def fixture(db: Database) -> Any:
    fixture = Fixture(db)
    yield fixture
    fixture.gate.set()
    fixture.pool.shutdown()


def test_what_comes_while_one_writes_commits_in_one_transaction(fixture: Fixture) -> None:
    fixture.hold()
    futures = fixture.add(*(f"t{number}" for number in range(MOST + 1)))
    assert names(fixture.db) == []
    fixture.gate.set()
    assert [future.result(PATIENCE_SECONDS) for future in futures] == [1] * (MOST + 1)
    assert names(fixture.db) == [f"t{number}" for number in range(MOST + 1)]
    assert fixture.transactions == 3  # the first, MOST that waited, and one more


def test_an_action_that_fails_takes_nobody_with_it(fixture: Fixture) -> None:
    def halfway(tx: Transaction) -> None:
        tx.change(INSERT, ["half"])
        raise LeaseLost("lost")

    fixture.hold()
    before, failing = fixture.add("a")[0], fixture.pool.submit(fixture.together.write, halfway)
    wait_for(lambda: len(fixture.together._waiting) == 2)
    twice = fixture.pool.submit(fixture.together.write, lambda tx: tx.change(INSERT, ["a"]))
    wait_for(lambda: len(fixture.together._waiting) == 3)
    fixture.gate.set()
    assert before.result(PATIENCE_SECONDS) == 1
    for future, error in ((failing, LeaseLost), (twice, ChangeRefused)):
        with pytest.raises(error):
            future.result(PATIENCE_SECONDS)
    assert names(fixture.db) == ["a"]
    assert fixture.together.write(lambda tx: tx.change(INSERT, ["later"])) == 1


def test_if_the_transaction_fails_nothing_is_written_and_everybody_knows(fixture: Fixture) -> None:
    fixture.hold()
    futures = fixture.add("a", "b")
    fixture.fails = StateError("the disk is gone")
    fixture.gate.set()
    for future in futures:
        with pytest.raises(ApplianceError, match="the disk is gone"):
            future.result(PATIENCE_SECONDS)
    assert names(fixture.db) == []


def test_each_action_runs_in_the_context_of_its_thread(fixture: Fixture) -> None:
    """What it queues names the request that it works for."""

    def write(request: str) -> str:
        with structlog.contextvars.bound_contextvars(request_id=request):
            return fixture.together.write(lambda tx: structlog.contextvars.get_contextvars()["request_id"])

    fixture.hold()
    futures = [fixture.pool.submit(write, f"r{number}") for number in range(8)]
    wait_for(lambda: len(fixture.together._waiting) == 8)
    fixture.gate.set()
    assert [future.result(PATIENCE_SECONDS) for future in futures] == [f"r{number}" for number in range(8)]
