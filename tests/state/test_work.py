"""The queue: claimed once, fairly, under leases that fence off whoever lost them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.errors import LeaseLost
from appliance.state import work
from appliance.state.database import Database
from appliance.state.work import Work

ROOT = Path(__file__).resolve().parent.parent.parent


def fill(db: Database, *subjects: str, group: str = "g") -> None:
    with db.transaction() as tx:
        for subject in subjects:
            work.enqueue(tx, "inference", subject, group)


def claim(db: Database, owner: str = "w", seconds: float = 60) -> Work:
    with db.transaction() as tx:
        claimed = work.claim(tx, owner, seconds)
    assert claimed is not None
    return claimed


def claim_all(db: Database, owner: str) -> list[str]:
    """Claim and finish until nothing is left."""
    subjects = []
    while True:
        with db.transaction() as tx:
            claimed = work.claim(tx, owner, 60)
        if claimed is None:
            return subjects
        subjects.append(claimed.subject_id)
        with db.transaction() as tx:
            work.finish(tx, claimed)


def test_threads_and_processes_claim_each_piece_once(db: Database) -> None:
    subjects = [f"s{number}" for number in range(400)]
    fill(db, *subjects)
    script = (
        "import json, sys; from pathlib import Path; from appliance.state.database import Database; "
        "from tests.state.test_work import claim_all; print('ready', flush=True); sys.stdin.readline(); "
        "print(json.dumps(claim_all(Database(Path(sys.argv[1])), 'p')))"
    )
    command = [sys.executable, "-c", script, str(db.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    with ThreadPoolExecutor(4) as pool:
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        results = list(pool.map(lambda number: claim_all(db, f"t{number}"), range(4)))
        for process in processes:
            results.append(json.loads(process.communicate(timeout=120)[0]))
            assert process.returncode == 0
    claimed = Counter(subject for result in results for subject in result)
    assert claimed == Counter(subjects)
    assert db.all("SELECT * FROM work") == []


def test_many_threads_at_once_hold_different_pieces(db: Database) -> None:
    fill(db, *map(str, range(40)))
    barrier = threading.Barrier(8)

    def take(number: int) -> list[int]:
        barrier.wait(30)
        return [claim(db, f"t{number}").id for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        taken = [one for part in pool.map(take, range(8)) for one in part]
    assert sorted(taken) == sorted(set(taken))
    assert len(taken) == 40


def test_the_group_with_the_fewest_in_progress_comes_first(db: Database) -> None:
    fill(db, "a1", "a2", "a3", "a4", group="a")
    fill(db, "b1", "b2", group="b")
    assert [claim(db).subject_id for _ in range(6)] == ["a1", "b1", "a2", "b2", "a3", "a4"]
    with db.transaction() as tx:
        assert work.claim(tx, "w", 60) is None


def test_later_work_is_left_alone(db: Database) -> None:
    fill(db, "later")
    held = claim(db)
    with db.transaction() as tx:
        work.release(tx, held, attempts=1, delay_seconds=1000)
        assert work.claim(tx, "w", 60) is None
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
    """A lease that was lost changes nothing and says so."""
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
    lost, kept = claim(db, seconds=-1), claim(db)
    with db.transaction() as tx:
        released = work.release_expired(tx)
    assert [(one.id, one.lost_leases) for one in released] == [(lost.id, 1)]
    assert_fenced_off(db, lost)
    again = claim(db)  # by the same owner, as a worker does that woke up late
    assert again.id == lost.id
    assert_fenced_off(db, lost)
    with db.transaction() as tx:
        assert work.extend(tx, [lost, again, kept], 60) == {again, kept}
        work.finish(tx, again)
        work.finish(tx, kept)


def test_a_lease_that_ran_out_cannot_be_extended(db: Database) -> None:
    fill(db, "s")
    late = claim(db, seconds=-1)
    with db.transaction() as tx:
        assert work.extend(tx, [late], 60) == set()


def test_only_what_is_in_progress_is_extended(db: Database) -> None:
    """Work that its owner let go of without a word becomes free, however long the owner lives."""
    fill(db, "kept", "dropped")
    kept, dropped = claim(db, seconds=5), claim(db, seconds=5)
    with db.transaction() as tx:
        assert work.extend(tx, [kept], 1000) == {kept}
    left = {row["id"]: row["left"] for row in db.all("SELECT id, lease_until - unixepoch() AS left FROM work")}
    assert left[kept.id] > 900
    assert left[dropped.id] < 10


def test_a_new_worker_takes_over_from_its_dead_predecessor(db: Database) -> None:
    fill(db, "s", "t")
    theirs, ours = claim(db, "dead"), claim(db, "alive")
    with db.transaction() as tx:
        released = work.release_others(tx, "alive")
    assert [one.id for one in released] == [theirs.id]
    assert_fenced_off(db, theirs)
    with db.transaction() as tx:
        work.finish(tx, ours)


def test_discarding_spares_what_is_held(db: Database) -> None:
    fill(db, "s", "t")
    held = claim(db)
    with db.transaction() as tx:
        work.discard(tx, [row["id"] for row in tx.all("SELECT id FROM work")])
    assert [row["id"] for row in db.all("SELECT id FROM work")] == [held.id]
