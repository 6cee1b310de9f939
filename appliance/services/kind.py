"""A kind of background work: what happens to the subject when work on it is claimed, released or given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from appliance.log import current_request_id
from appliance.state import work
from appliance.state.database import Transaction

PoolName = Literal["lanes", "storage", "fetch", "courier", "hearing", "training"]


def _no_move(tx: Transaction, subject_id: str) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """One kind of work on the queue.

    ``fail(tx, subject_id, code, message)`` moves the subject when its work is given up. ``start`` moves it when the
    work is claimed, ``release`` when the work goes back to the queue; a subject that has one status for waiting and
    running needs neither. Each runs in the transaction that changes the work, and returns False if the subject has
    not the status that it would leave.

    ``pool`` names the threads of the worker that do it: ``lanes`` have a decoder and the models, ``storage`` only
    moves bytes, ``fetch`` waits for other machines, ``courier`` delivers webhooks, ``hearing`` embeds one recording at
    a time for the learned search, and ``training`` trains one model at a time. So storing an upload does not wait
    behind inference, nor behind a slow machine.
    """

    name: str
    fail: Callable[[Transaction, str, str, str], bool]
    start: Callable[[Transaction, str], bool] = _no_move
    release: Callable[[Transaction, str], bool] = _no_move
    pool: PoolName = "lanes"

    def enqueue(self, tx: Transaction, tenant_id: int, group_id: str, subject_id: str) -> None:
        """Queue work on a subject, unless it is queued already. Groups of a tenant, such as its jobs, take turns.

        The work names the request for which this thread works.
        """
        work.enqueue(
            tx,
            self.name,
            subject_id,
            pool=self.pool,
            tenant_id=tenant_id,
            group_id=group_id,
            request_id=current_request_id(),
        )
