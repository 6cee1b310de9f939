"""Work under a lease, as the worker asks for it: claim, keep, fail, try again. The same for every kind."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.errors import ApplianceError, LeaseLost
from appliance.services.box import Box
from appliance.services.work.kinds import KINDS
from appliance.state import work, workers
from appliance.state.work import Work

RETRY_SECONDS = 2.0


def start_worker(box: Box, worker_id: str, provider: str) -> None:
    """Make this the worker. It holds the worker's lock, so what its predecessor left is free at once."""
    with box.db.transaction():
        workers.register(box.db, worker_id, provider)
        requeue_lost(box, work.release_others(box.db, worker_id))


def claim(
    box: Box, worker_id: str, kinds: Iterable[str] | None = None, *, lease_seconds: float | None = None
) -> Work | None:
    """Lease the next piece of work, of ``kinds`` alone where they are given, or None where none is ready."""
    if not work.is_ready(box.db, kinds):  # idle threads ask again and again
        return None
    with box.db.transaction():
        claimed = work.claim(box.db, worker_id, lease_seconds or box.settings.lease_seconds, kinds)
        if claimed and not KINDS[claimed.kind].start(box.db, claimed.subject_id):
            raise LeaseLost(f"{claimed.kind} {claimed.subject_id} is not waiting.")
    return claimed


def heartbeat(box: Box, worker_id: str, active: Iterable[Work]) -> set[Work]:
    """Extend the leases of what this worker has in progress; the work that it still holds."""
    with box.db.transaction():
        workers.touch(box.db, worker_id)
        return work.extend(box.db, active, box.settings.lease_seconds)


def fail(box: Box, claimed: Work, error: ApplianceError) -> None:
    """Give the work up; its subject carries the reason. Raises LeaseLost."""
    with box.db.transaction():
        work.finish(box.db, claimed)
        KINDS[claimed.kind].fail(box.db, claimed.subject_id, error.code, str(error))


def retry(box: Box, claimed: Work, error: ApplianceError, *, counts: bool) -> None:
    """Put the work back for another try; give it up where the tries that count are used up. Raises LeaseLost."""
    if counts and claimed.attempts + 1 >= box.settings.max_decoder_deaths:
        fail(box, claimed, error)
        return
    with box.db.transaction():
        work.give_back(box.db, claimed, attempts=int(counts), delay_seconds=RETRY_SECONDS)
        KINDS[claimed.kind].requeue(box.db, claimed.subject_id)


def requeue_lost(box: Box, lost: Iterable[Work]) -> None:
    """Put back work whose worker went silent; give it up after too many times. In a transaction."""
    for each in lost:
        if each.lost_leases < box.settings.max_lost_leases:
            KINDS[each.kind].requeue(box.db, each.subject_id)
            continue
        work.discard(box.db, [each.id])
        message = f"The worker was lost {each.lost_leases} times while it processed this file."
        KINDS[each.kind].fail(box.db, each.subject_id, LeaseLost.code, message)
