"""Work under a lease, for the worker: claim, keep, retry, fail. The same for every kind."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from appliance.errors import ApplianceError, DecoderKilled, EngineLost, ObjectDamaged, WorkerLost
from appliance.services.box import Box
from appliance.services.kind import PoolName
from appliance.services.work.kinds import KINDS
from appliance.state import work as queue
from appliance.state import workers
from appliance.state.database import Transaction
from appliance.state.work import Work

log = structlog.get_logger()

RETRY_SECONDS = 2.0
SUSPECT_LEASES = 3
OUTSIDE_TRIES = 8  # if something outside the recording may recover; the waits add up to four minutes


def start_worker(box: Box, worker_id: str, provider: str, number: int = 1, count: int = 1) -> None:
    """Register a worker. It holds the lock of its number, so the work of its predecessor is free at once."""
    with box.db.transaction() as tx:
        workers.register(tx, worker_id, provider, number, count)
        # Only what was decoded and scored here can have killed the worker.
        release_lost(box, tx, queue.release_strangers(tx, ("lanes", "hearing")))


def claim(
    box: Box, worker_id: str, pool: PoolName, *, lease_seconds: float | None = None, tenant_limit: int | None = None
) -> Work | None:
    """Lease the next piece of work of a pool, of a tenant with less than ``tenant_limit`` pieces in progress there.

    Returns None if none is ready. Work whose subject has ended without it is removed, so that it does not stand before
    all other work.
    """
    return next(
        iter(claim_many(box, worker_id, pool, 1, lease_seconds=lease_seconds, tenant_limit=tenant_limit)),
        None,
    )


def claim_many(
    box: Box,
    worker_id: str,
    pool: PoolName,
    most: int,
    *,
    lease_seconds: float | None = None,
    tenant_limit: int | None = None,
) -> list[Work]:
    """Lease up to ``most`` pieces of work of a pool in one transaction, as ``claim`` would one by one."""
    if not queue.is_ready(box.db, pool, tenant_limit):  # idle threads ask again and again
        return []
    seconds, started = lease_seconds or box.settings.lease_seconds, list[Work]()
    with box.db.transaction() as tx:
        while works := queue.claim_many(tx, worker_id, seconds, pool, most - len(started), tenant_limit):
            for work in works:
                if _start(tx, work):
                    started.append(work)
                    continue
                log.error("work removed: its subject has ended without it", kind=work.kind, subject=work.subject_id)
                queue.finish(tx, work)
    return started


def claim_suspect(box: Box, worker_id: str) -> Work | None:
    """Lease work that was in progress at several deaths of a worker. Returns None if there is none.

    Whoever claims it does nothing else meanwhile: if the worker dies again, no other work can be the reason, and if it
    does not, the work was only a bystander.
    """
    lost_leases = max(1, min(SUSPECT_LEASES, box.settings.max_lost_leases - 1))
    with box.db.transaction() as tx:
        work = queue.claim_suspect(tx, worker_id, box.settings.lease_seconds, lost_leases)
        if work and not _start(tx, work):
            queue.finish(tx, work)
            return None
    return work


def _start(tx: Transaction, work: Work) -> bool:
    """Move the subject of claimed work to its start, also from a run that nobody holds any more."""
    kind, subject_id = KINDS[work.kind], work.subject_id
    return kind.start(tx, subject_id) or (kind.release(tx, subject_id) and kind.start(tx, subject_id))


def heartbeat(box: Box, worker_id: str, active: Iterable[Work]) -> set[Work]:
    """Extend the leases of the work in progress. Returns the work that this worker still holds."""
    with box.db.transaction() as tx:
        workers.touch(tx, worker_id)
        return queue.extend(tx, active, box.settings.lease_seconds)


def fail(box: Box, work: Work, error: ApplianceError) -> None:
    """Give the work up; its subject gets the reason. Raises LeaseLost."""
    with box.db.transaction() as tx:
        queue.finish(tx, work)
        KINDS[work.kind].fail(tx, work.subject_id, error.code, str(error))


def retry(box: Box, work: Work, error: ApplianceError, *, counts: bool, delay_seconds: float | None = None) -> bool:
    """Release the work for another try, or give it up if the tries that count are used up. Raises LeaseLost.

    Returns False if it was given up.
    If the object cannot be read or its decoder was killed from outside, there are more tries, and each wait is twice
    the one before: the disk or the memory may recover.
    """
    if isinstance(error, EngineLost):
        return _lose_engine(box, work, error)
    tries = box.settings.max_decoder_deaths
    if isinstance(error, (ObjectDamaged, DecoderKilled)):
        tries, delay_seconds = OUTSIDE_TRIES, RETRY_SECONDS * 2**work.attempts
    if counts and work.attempts + 1 >= tries:
        fail(box, work, error)
        return False
    with box.db.transaction() as tx:
        queue.release(tx, work, attempts=int(counts), delay_seconds=delay_seconds or RETRY_SECONDS)
        KINDS[work.kind].release(tx, work.subject_id)
    return True


def _lose_engine(box: Box, work: Work, error: EngineLost) -> bool:
    """Release work whose engine was lost; that is no try of its own. Give it up after too many."""
    lost = work.lost_engines + 1
    if lost >= box.settings.max_lost_engines:
        fail(box, work, EngineLost(f"Engines were lost {lost} times while they processed this file. {error}"))
        return False
    with box.db.transaction() as tx:
        queue.release(tx, work, attempts=0, delay_seconds=0.0, lost_engines=1)
        KINDS[work.kind].release(tx, work.subject_id)
    return True


def release_lost(box: Box, tx: Transaction, lost: Iterable[Work]) -> None:
    """Release the subjects of work whose worker was lost. Give the work up after too many lost leases."""
    for work in lost:
        kind = KINDS[work.kind]
        if work.lost_leases < box.settings.max_lost_leases:
            kind.release(tx, work.subject_id)
            continue
        queue.discard(tx, [work.id])
        message = f"The worker was lost {work.lost_leases} times while it processed this file."
        kind.fail(tx, work.subject_id, WorkerLost.code, message)
