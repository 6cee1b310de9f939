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

    A tenant holds at most ``tenant_limit`` of them. There may be up to ``most`` threads, if their number changes.
    """

    def __init__(self, name: PoolName, threads: int, tenant_limit: int | None = None, most: int | None = None) -> None:
        self.name: PoolName = name
        self.tenant_limit = tenant_limit
        self.claims = Outage(f"claim for {name} threads", first_seconds=0.5)
        self._executor = ThreadPoolExecutor(max(threads, most or 0), name)  # it starts a thread when it needs one
        self._free = threading.Semaphore(threads)
        self._threads = threads
        self._surplus = 0  # threads at work that end with it
        self._lock = threading.Lock()
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
        with self._lock:
            ended = min(count, self._surplus)
            self._surplus -= ended
        if count > ended:
            self._free.release(count - ended)

    def resize(self, threads: int) -> None:
        """Change the number of threads. If it becomes smaller, threads at work end their work first."""
        with self._lock:
            change = threads - self._threads
            self._threads = threads
            back = min(self._surplus, max(0, change))
            self._surplus -= back
            if change > back:
                self._free.release(change - back)
            for _ in range(-change):
                if not self._free.acquire(blocking=False):
                    self._surplus += 1
        THREADS.labels(self.name).set(threads)

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
            self.release(1)
