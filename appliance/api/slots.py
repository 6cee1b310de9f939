"""A number of slots that tenants share fairly."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.errors import TooManyUploads


class FairSlots:
    """Slots for uploads. A tenant gets one more while it holds fewer than are free.

    So one tenant alone gets half of the slots, the next one half of the rest, and so on.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._held: Counter[int] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def slot(self, tenant_id: int) -> Iterator[None]:
        """Hold a slot. Raises TooManyUploads."""
        with self._lock:
            if self._held[tenant_id] >= self._free:
                raise TooManyUploads(
                    f"{self._held[tenant_id]} of your uploads are in progress. Try again when one of them has ended."
                    if self._held[tenant_id]
                    else "Too many uploads are in progress. Try again in a few seconds."
                )
            self._free -= 1
            self._held[tenant_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
                self._held[tenant_id] -= 1
