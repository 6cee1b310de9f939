"""The queue: work is claimed once and fairly, and a lost lease can change nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.errors import LeaseLost
from appliance.state import work, workers
from appliance.state.database import Database, Transaction
from appliance.state.work import Work
from tests.support.appliances import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parent.parent.parent


def fill(db: Database, *subjects: str, group: str = "g", tenant: int = 1) -> None:
    with db.transaction() as tx:
        for subject in subjects:
            work.enqueue(tx, "inference", subject, pool="lanes", tenant_id=tenant, group_id=group)


def claim(db: Database, owner: str = "w", seconds: float = 60) -> Work:
    with db.transaction() as tx:
        item = work.claim(tx, owner, seconds, "lanes")
    assert item is not None
    return item


def claim_all(db: Database, owner: str) -> list[str]:
    """Claim and finish work until none is left. Returns the subject ids."""
    subjects: list[str] = []
    while True:
        with db.transaction() as tx:
            item = work.claim(tx, owner, 60, "lanes")
        if item is None:
            return subjects
        subjects.append(item.subject_id)
        with db.transaction() as tx:
            work.finish(tx, item)


def test_threads_and_processes_claim_all_work_once(db: Database) -> None:
    subjects = [f"s{number}" for number in range(400)]
    fill(db, *subjects)
    script = (
        "import json, sys; from pathlib import Path; from appliance.state.database import Database; "
        "from tests.state.test_work import claim_all; print('ready', flush=True); sys.stdin.readline(); "
        "print(json.dumps(claim_all(Database(Path(sys.argv[1])), 'p')))"
    )
    command = [sys.executable, "-c", script, str(db.path)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    with ThreadPoolExecutor(4) as pool:
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        results = list(pool.map(lambda number: claim_all(db, f"t{number}"), range(4)))
        for process in processes:
            results.append(json.loads(process.communicate(timeout=PATIENCE_SECONDS)[0]))
            assert process.returncode == 0
    counts = Counter(subject for result in results for subject in result)
    assert counts == Counter(subjects)
    assert db.all("SELECT * FROM work") == []


def test_many_are_claimed_as_single_claims_would(db: Database) -> None:
    subjects = []
    for most in (1, 5, 100):
        for group in "ab":
            fill(db, *(f"{group}{number}" for number in range(4)), group=group)
        fill(db, "c0", "c1", group="c", tenant=2)
        order: list[str] = []
        while True:
            with db.transaction() as tx:
                works = work.claim_many(tx, "w", 60, "lanes", most, 5)
            if not works:
                break
            assert len(works) <= most
            order += [item.subject_id for item in works]
        assert len(order) == 7  # tenant 1 holds as many as it may
        subjects.append(order)
        with db.transaction() as tx:
            tx.change("DELETE FROM work")
    assert subjects[0] == subjects[1] == subjects[2]


def test_threads_in_parallel_claim_different_work(db: Database) -> None:
    fill(db, *map(str, range(40)))
    barrier = threading.Barrier(8)

    def claim_five(number: int) -> list[int]:
        barrier.wait(PATIENCE_SECONDS)
        return [claim(db, f"t{number}").id for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        ids = [work_id for part in pool.map(claim_five, range(8)) for work_id in part]
    assert sorted(ids) == sorted(set(ids))
    assert len(ids) == 40


def test_the_group_with_the_fewest_in_progress_comes_first(db: Database) -> None:
    fill(db, "a1", "a2", "a3", "a4", group="a")
    fill(db, "b1", "b2", group="b")
    assert [claim(db).subject_id for _ in range(6)] == ["a1", "b1", "a2", "b2", "a3", "a4"]
    with db.transaction() as tx:
        assert work.claim(tx, "w", 60, "lanes") is None


def test_work_is_not_claimed_before_its_time(db: Database) -> None:
    fill(db, "later")
    current = claim(db)
    with db.transaction() as tx:
        work.release(tx, current, attempts=1, delay_seconds=1000)
        assert work.claim(tx, "w", 60, "lanes") is None
    row = db.one("SELECT attempts, lost_leases, lease_owner FROM work WHERE subject_id = 'later'")
    assert row is not None
    assert tuple(row) == (1, 0, None)


def test_work_that_was_released_is_claimed_again_with_a_new_token(db: Database) -> None:
    fill(db, "s")
    first = claim(db)
    with db.transaction() as tx:
        work.release(tx, first, attempts=0, delay_seconds=0)
    second = claim(db)
    assert (second.id, second.attempts) == (first.id, 0)
    assert second.lease_token > first.lease_token


def assert_fenced_off(db: Database, lost: Work) -> None:
    """Check that a lost lease changes nothing and raises LeaseLost."""
    before = [tuple(row) for row in db.all("SELECT * FROM work")]
    with pytest.raises(LeaseLost), db.transaction() as tx:
        work.finish(tx, lost)
    with pytest.raises(LeaseLost), db.transaction() as tx:
        work.release(tx, lost, attempts=1, delay_seconds=0)
    with db.transaction() as tx:
        assert work.extend(tx, [lost], 60) == set()
    assert [tuple(row) for row in db.all("SELECT * FROM work")] == before


def test_a_lease_that_ran_out_is_released_and_fenced_off(db: Database) -> None:
    fill(db, "s", "t")
    lost, other = claim(db, seconds=-1), claim(db)
    with db.transaction() as tx:
        released = work.release_expired(tx)
    assert [(item.id, item.lost_leases) for item in released] == [(lost.id, 1)]
    assert_fenced_off(db, lost)
    second = claim(db)  # by the same owner, like a worker that was paused
    assert second.id == lost.id
    assert_fenced_off(db, lost)
    with db.transaction() as tx:
        assert work.extend(tx, [lost, second, other], 60) == {second, other}
        work.finish(tx, second)
        work.finish(tx, other)


def test_a_lease_that_ran_out_cannot_be_extended(db: Database) -> None:
    fill(db, "s")
    late = claim(db, seconds=-1)
    with db.transaction() as tx:
        assert work.extend(tx, [late], 60) == set()


def test_only_the_listed_leases_are_extended(db: Database) -> None:
    """Work that its owner no longer lists becomes free, however long the owner lives."""
    fill(db, "listed", "unlisted")
    listed, unlisted = claim(db, seconds=5), claim(db, seconds=5)
    with db.transaction() as tx:
        assert work.extend(tx, [listed], 1000) == {listed}
    ends = {row["id"]: row["lease_until"] - time.monotonic() for row in db.all("SELECT id, lease_until FROM work")}
    assert ends[listed.id] > 900
    assert ends[unlisted.id] < 10


def test_many_leases_are_extended_in_one_statement(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db, *map(str, range(50)))
    with db.transaction() as tx:
        works = work.claim_many(tx, "w", 60, "lanes", 50)
        work.finish(tx, works[7])
        statements: list[str] = []
        monkeypatch.setattr(tx, "change", lambda *_: pytest.fail("a statement for each"))

        def counted(sql: str, values: list[object]) -> list[object]:
            statements.append(sql)
            return Transaction.all(tx, sql, values)

        monkeypatch.setattr(tx, "all", counted)
        assert work.extend(tx, works, 60) == set(works) - {works[7]}
        assert len(statements) == 1
        assert work.extend(tx, [], 60) == set()


def test_a_new_worker_releases_the_work_of_a_dead_one(db: Database) -> None:
    fill(db, "s", "t")
    theirs, ours = claim(db, "dead"), claim(db, "alive")
    with db.transaction() as tx:
        workers.register(tx, "alive", "cpu")
        released = work.release_strangers(tx, ("lanes", "hearing"))
    assert [item.id for item in released] == [theirs.id]
    assert_fenced_off(db, theirs)
    with db.transaction() as tx:
        work.finish(tx, ours)


def test_discarding_keeps_claimed_work(db: Database) -> None:
    fill(db, "s", "t")
    current = claim(db)
    with db.transaction() as tx:
        work.discard(tx, [row["id"] for row in tx.all("SELECT id FROM work")])
    assert [row["id"] for row in db.all("SELECT id FROM work")] == [current.id]
