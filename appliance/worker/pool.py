"""A pool of the worker: a few threads that do the work of the kinds that name it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from appliance.metrics import BUSY_THREADS, THREADS
from appliance.services.kind import PoolName
from appliance.worker.outage import Outage

MOST_CLAIMED = 64  # in one transaction


def half_of(threads: int) -> int:
    """Return how many threads that wait for other machines a tenant may hold: slow ones of one tenant stop no other."""
    return (threads + 1) // 2


class Pool:
    """Threads for one pool's work. Whoever claims that work reserves threads first, then submits or gives them back.

    A tenant holds at most ``tenant_limit`` of them.
    """

    def __init__(self, name: PoolName, threads: int, tenant_limit: int | None = None) -> None:
        self.name: PoolName = name
        self.tenant_limit = tenant_limit
        self.claims = Outage(f"claim for {name} threads", first_seconds=0.5)
        self._executor = ThreadPoolExecutor(threads, name)
        self._free = threading.Semaphore(threads)
        THREADS.labels(name).set(threads)
        self._busy = BUSY_THREADS.labels(name)

    def reserve(self) -> int:
        """Wait for a free thread, and take all that are free, at most MOST_CLAIMED. Returns how many."""
        self._free.acquire()
        count = 1
        while count < MOST_CLAIMED and self._free.acquire(blocking=False):
            count += 1
        return count

    def release(self, count: int) -> None:
        """Give reserved threads back unused."""
        if count:
            self._free.release(count)

    def submit(self, action: Callable[..., None], *values: Any) -> None:
        """Run the action on the reserved thread, which is free again when the action ends."""
        self._executor.submit(self._run, action, *values)

    def close(self) -> None:
        """Wait for the work in progress."""
        self._executor.shutdown()

    def _run(self, action: Callable[..., None], *values: Any) -> None:
        try:
            with self._busy.track_inprogress():
                action(*values)
        finally:
            self._free.release()
