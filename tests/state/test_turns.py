"""Whose turn it is: tenants, then their groups, and a claim that costs the same however much is queued."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from appliance.state import work, workers
from appliance.state.database import Database, Transaction
from appliance.state.work import Work

POOL = "lanes"


def fill(db: Database, *subjects: str, tenant: int = 1, group: str | None = None) -> None:
    """Queue subjects of a tenant, all in one group or each in a group of its own."""
    with db.transaction() as tx:
        for subject in subjects:
            work.enqueue(tx, "inference", subject, pool=POOL, tenant_id=tenant, group_id=group or subject)


def claim(db: Database, tenant_limit: int | None = None) -> Work | None:
    with db.transaction() as tx:
        return work.claim(tx, "w", 60, POOL, tenant_limit)


def claim_one(db: Database) -> Work:
    item = claim(db)
    assert item is not None
    return item


def finish(db: Database, item: Work) -> None:
    with db.transaction() as tx:
        work.finish(tx, item)


def served(db: Database, count: int) -> list[str]:
    """Claim and finish work on one thread. Returns the subjects in their order."""
    subjects = []
    for _ in range(count):
        item = claim_one(db)
        finish(db, item)
        subjects.append(item.subject_id)
    return subjects


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_file_behind_forty_jobs_of_another_tenant_starts_next(db: Database, threads: int) -> None:
    fill(db, *(f"a{number}" for number in range(40)), tenant=1)
    busy = [claim_one(db) for _ in range(threads)]
    fill(db, "b", tenant=2)
    finish(db, busy.pop())
    assert claim_one(db).subject_id == "b"


def test_tenants_take_turns_on_one_thread_whatever_each_has_queued(db: Database) -> None:
    fill(db, *(f"a{number}" for number in range(20)), tenant=1)
    fill(db, *(f"b{number}" for number in range(20)), tenant=2, group="one job")
    fill(db, *(f"c{number}" for number in range(20)), tenant=3)
    assert Counter(subject[0] for subject in served(db, 12)) == {"a": 4, "b": 4, "c": 4}


def test_jobs_of_a_tenant_take_turns_on_one_thread(db: Database) -> None:
    fill(db, "a1", "a2", "a3", group="a")
    fill(db, "b1", "b2", group="b")
    assert served(db, 2) == ["a1", "b1"]
    fill(db, "c1", "c2", group="c")  # comes after who waits, and before who was just served
    assert served(db, 5) == ["a2", "c1", "b2", "a3", "c2"]


def test_jobs_that_wait_for_their_first_turn_get_it_in_the_order_of_their_arrival(db: Database) -> None:
    for group in "zyxabc":
        fill(db, f"{group}1", f"{group}2", group=group)
    assert served(db, 8) == ["z1", "y1", "x1", "a1", "b1", "c1", "z2", "y2"]


def test_a_tenant_gets_no_more_threads_than_its_limit(db: Database) -> None:
    fill(db, "a1", "a2", "a3", tenant=1)
    assert [claim(db, 2) is not None for _ in range(3)] == [True, True, False]
    assert not work.is_ready(db, POOL, 2)
    assert work.is_ready(db, POOL, 3)
    fill(db, "b1", tenant=2)
    assert work.is_ready(db, POOL, 2)
    other = claim(db, 2)
    assert other is not None
    assert other.subject_id == "b1"


def test_pools_do_not_count_for_each_other(db: Database) -> None:
    fill(db, "a1", "a2", tenant=1)
    with db.transaction() as tx:
        work.enqueue(tx, "webhook", "x", pool="courier", tenant_id=2, group_id="x")
        assert work.claim(tx, "w", 60, "courier") is not None
    fill(db, "b1", tenant=2)
    assert Counter(claim_one(db).subject_id[0] for _ in range(2)) == {"a": 1, "b": 1}


def test_work_that_is_put_off_is_in_nobodys_way(db: Database) -> None:
    fill(db, "later", "now", group="g")
    first = claim_one(db)
    with db.transaction() as tx:
        work.release(tx, first, attempts=1, delay_seconds=1000)
    assert served(db, 1) == ["now"]
    assert not work.is_ready(db, POOL)
    with db.transaction() as tx:
        tx.change("UPDATE work SET run_after = unixepoch('subsec') - 1")
    assert work.is_ready(db, POOL)
    assert served(db, 1) == ["later"]


def counted(db: Database) -> list[tuple[Any, ...]]:
    return [
        tuple(row) for row in db.all("SELECT pool, tenant_id, group_id, ready, busy FROM work_turns ORDER BY 1,2,3")
    ]


def recounted(db: Database) -> list[tuple[Any, ...]]:
    """What ``work_turns`` must hold, counted from the work itself."""
    sql = """
        WITH pieces AS (
            SELECT pool, tenant_id, group_id, lease_owner IS NULL AND run_after IS NULL AS ready,
                lease_owner IS NOT NULL AS busy FROM work
        )
        SELECT pool, tenant_id, name, sum(ready), sum(busy)
        FROM (SELECT *, '' AS name FROM pieces UNION ALL SELECT *, group_id AS name FROM pieces)
        GROUP BY 1, 2, 3 HAVING sum(ready) + sum(busy) > 0 ORDER BY 1, 2, 3
        """
    return [tuple(row) for row in db.all(sql)]


def recounted_kinds(db: Database) -> list[tuple[Any, ...]]:
    """What the depths must be, counted from the work itself."""
    sql = """
        SELECT kind, sum(lease_owner IS NULL AND run_after IS NULL), sum(run_after IS NOT NULL),
            sum(lease_owner IS NOT NULL) FROM work GROUP BY kind
        """
    return [tuple(row) for row in db.all(sql)]


def depths(db: Database) -> list[tuple[Any, ...]]:
    shown = [(depth.kind, depth.ready, depth.put_off, depth.busy) for depth in work.depths(db)]
    return [depth for depth in shown if any(depth[1:])]


@pytest.mark.parametrize("seed", range(4))
def test_the_counts_agree_with_the_work_after_any_history(db: Database, seed: int) -> None:
    chance = random.Random(seed)
    held: list[Work] = []

    def pick() -> Work:
        return held.pop(chance.randrange(len(held)))

    def add(tx: Transaction) -> None:
        group = f"g{chance.randrange(4)}"
        subject = str(chance.randrange(30))
        work.enqueue(tx, "k", subject, pool=POOL, tenant_id=chance.randrange(3), group_id=group)

    def take(tx: Transaction) -> None:
        if item := work.claim(tx, chance.choice("vw"), chance.choice([60, -1]), POOL, chance.choice([None, 2])):
            held.append(item)

    def expire(tx: Transaction) -> None:
        expired = {item.id for item in work.release_expired(tx)}
        held[:] = [item for item in held if item.id not in expired]

    def lose(tx: Transaction) -> None:
        workers.register(tx, "v", "cpu")
        lost = {item.id for item in work.release_strangers(tx, (POOL,))}
        held[:] = [item for item in held if item.id not in lost]

    def forget(tx: Transaction) -> None:
        group = f"g{chance.randrange(4)}"
        rows = {row["id"] for row in tx.all("SELECT id FROM work WHERE group_id = ?", [group])}
        work.forget_group(tx, group)
        held[:] = [item for item in held if item.id not in rows]

    def give_back(tx: Transaction) -> None:
        work.release(tx, pick(), attempts=0, delay_seconds=chance.choice([0, -1, 60]))

    actions: list[Callable[[Transaction], None]] = [add, add, add, take, take, take, expire, lose, forget]
    for _ in range(300):
        choices = [*actions, give_back, give_back, lambda tx: work.finish(tx, pick())] if held else actions
        with db.transaction() as tx:
            chance.choice(choices)(tx)
        assert counted(db) == recounted(db)
        assert depths(db) == recounted_kinds(db)


class Steps:
    """Counts the steps of SQLite's virtual machine, in tens: a measure of cost that no other process changes."""

    def __init__(self, db: Database) -> None:
        self._connection = db._connection
        self._tens = 0

    def of(self, action: Callable[[], object]) -> int:
        """Return the steps of what ``action`` runs on this thread."""

        def count() -> int:
            self._tens += 1
            return 0

        self._tens = 0
        self._connection.set_progress_handler(count, 10)
        action()
        self._connection.set_progress_handler(None, 0)
        return 10 * self._tens


def test_a_claim_costs_the_same_however_much_is_queued(db: Database) -> None:
    """Also with many tenants, many jobs, and work that is put off."""
    steps = Steps(db)
    costs = []
    for size in (10, 3000):
        with db.transaction() as tx:
            for number in range(size):
                for tenant, group in ((1, "one job"), (2, f"job {number}"), (number + 3, "a job")):
                    subject = f"{size} {number} {tenant}"
                    work.enqueue(tx, "inference", subject, pool=POOL, tenant_id=tenant, group_id=group)
                work.enqueue(tx, "webhook", f"{size} {number}", pool="courier", tenant_id=number, group_id="host")
            tx.change("UPDATE work SET run_after = unixepoch('subsec') + 1000 WHERE pool = 'courier'")
        claims = [steps.of(lambda: claim_one(db)) for _ in range(8)]
        polls = [steps.of(lambda: work.is_ready(db, POOL, 2)), steps.of(lambda: work.is_ready(db, "courier"))]
        polls.append(steps.of(lambda: work.oldest_ready(db, (POOL, "courier"))))
        costs.append((max(claims), max(polls)))
    (small_claim, small_poll), (large_claim, large_poll) = costs
    assert large_claim <= 1.5 * small_claim
    assert large_poll <= 1.5 * small_poll + 10


def test_no_statement_of_the_queue_scans_it(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every statement is explained as it runs: each table is searched by an index, and nothing is sorted."""
    plans: dict[str, list[str]] = {}
    one, all_, change = Transaction.one, Transaction.all, Transaction.change

    def explained(run: Callable[..., Any]) -> Callable[..., Any]:
        def explain(tx: Transaction, sql: str, parameters: Any = ()) -> Any:
            plans[sql] = [row["detail"] for row in all_(tx, f"EXPLAIN QUERY PLAN {sql}", parameters)]
            return run(tx, sql, parameters)

        return explain

    for name, run in (("one", one), ("all", all_), ("change", change)):
        monkeypatch.setattr(Transaction, name, explained(run))
    fill(db, "a", "b")
    with db.transaction() as tx:
        item = work.claim(tx, "w", 60, POOL, 2)
        assert item
        assert work.is_ready(tx, POOL, 2)
        assert work.oldest_ready(tx, (POOL, "courier"))
        work.extend(tx, [item], 60)
        work.release(tx, item, attempts=0, delay_seconds=0)
        work.release_expired(tx)
        work.discard(tx, [item.id])
        work.forget(tx, "a")
        work.forget_group(tx, "a")
    assert len(plans) >= 8
    faults = [(sql, line) for sql, lines in plans.items() for line in lines if "SCAN work" in line or "TEMP" in line]
    assert faults == []
