"""A number of slots that tenants share fairly."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.errors import ApplianceError


class FairSlots:
    """Slots for requests that take long. A tenant gets one more while it holds fewer than are free.

    So one tenant alone gets half of the slots, the next one half of the rest, and so on. ``subject`` names what the
    slots are for: the plural of a noun.
    """

    def __init__(self, total: int, subject: str, error: type[ApplianceError]) -> None:
        self._free = total
        self._subject = subject
        self._error = error
        self._held: Counter[int] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def slot(self, tenant_id: int) -> Iterator[None]:
        """Hold a slot. Raises the error of these slots."""
        with self._lock:
            if self._held[tenant_id] >= self._free:
                raise self._error(
                    f"{self._held[tenant_id]} of your {self._subject} are in progress. "
                    "Try again when one of them has ended."
                    if self._held[tenant_id]
                    else f"Too many {self._subject} are in progress. Try again in a few seconds."
                )
            self._free -= 1
            self._held[tenant_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
                self._held[tenant_id] -= 1
