"""A pool of the worker: a few threads that do the work of some kinds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from appliance.worker.outage import Outage


class Pool:
    """Threads for the work of ``kinds``. Whoever claims that work reserves a thread first, then submits or gives up."""

    def __init__(self, name: str, threads: int, kinds: tuple[str, ...]) -> None:
        self.name = name
        self.kinds = kinds
        self.claims = Outage(f"claim for {name} threads", first_seconds=0.5)
        self._executor = ThreadPoolExecutor(threads, name)
        self._free = threading.Semaphore(threads)

    def reserve(self) -> None:
        """Wait for a free thread."""
        self._free.acquire()

    def release(self) -> None:
        """Give a reserved thread back unused."""
        self._free.release()

    def submit(self, action: Callable[..., None], *values: Any) -> None:
        """Run the action on the reserved thread, which is free again when the action ends."""
        self._executor.submit(self._run, action, *values)

    def close(self) -> None:
        """Wait for the work in progress."""
        self._executor.shutdown()

    def _run(self, action: Callable[..., None], *values: Any) -> None:
        try:
            action(*values)
        finally:
            self._free.release()
