"""Things that are made once, in the background, because they take longer than a request may."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

import structlog

from appliance.errors import ApplianceError, AudioError, BeingMade, CannotBePlayed, DecoderDied, TooManyLooks

log = structlog.get_logger()

MOST_WAITING = 200  # of one tenant
FORGOTTEN_SECONDS = 30.0  # what nobody has asked for again after this time is not begun
KEPT_FAILURES = 1000


class Making:
    """A thread that makes one thing after another, for each tenant in turn."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._waiting: OrderedDict[int, OrderedDict[Hashable, _Wish]] = OrderedDict()
        self._in_progress: Hashable | None = None
        self._failures: OrderedDict[Hashable, ApplianceError] = OrderedDict()
        self._thread: threading.Thread | None = None

    def request(self, tenant_id: int, key: Hashable, make: Callable[[], object], wait_seconds: float = 0.0) -> None:
        """Have something made, unless it waits already, and wait for it a little.

        Returns when ``make`` has returned. Raises BeingMade if that takes longer, the error that ended it, and
        TooManyLooks if too much waits.
        """
        deadline = time.monotonic() + wait_seconds
        with self._changed:
            if key in self._failures:
                raise self._failures[key] if _lasts(self._failures[key]) else self._failures.pop(key)
            if key != self._in_progress:
                self._queue(tenant_id, key, make)
            while self._is_open(tenant_id, key):
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise BeingMade("This is being made from the recording. Try again in a few seconds.")
            if key in self._failures:
                raise self._failures[key] if _lasts(self._failures[key]) else self._failures.pop(key)

    def _queue(self, tenant_id: int, key: Hashable, make: Callable[[], object]) -> None:
        wishes = self._waiting.setdefault(tenant_id, OrderedDict())
        if key not in wishes and len(wishes) >= MOST_WAITING:
            raise TooManyLooks(f"{len(wishes)} of your pictures of recordings are waiting to be made. Try again later.")
        wishes[key] = _Wish(make)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _is_open(self, tenant_id: int, key: Hashable) -> bool:
        return key == self._in_progress or key in self._waiting.get(tenant_id, ())

    def _work(self) -> None:
        while True:
            key, wish = self._next()
            failure: ApplianceError | None = None
            try:
                wish.make()
            except AudioError as error:
                kind = DecoderDied if isinstance(error, DecoderDied) else CannotBePlayed
                failure = kind(str(error))
            except ApplianceError as error:
                failure = error
            except Exception as error:
                log.error("unexpected error", making=self._name, exc_info=error)
                failure = ApplianceError(f"The appliance failed: {type(error).__name__}.")
            with self._changed:
                self._in_progress = None
                if failure:
                    self._failures[key] = failure
                    while len(self._failures) > KEPT_FAILURES:
                        self._failures.popitem(last=False)
                self._changed.notify_all()

    def _next(self) -> tuple[Hashable, _Wish]:
        with self._changed:
            while True:
                self._changed.wait_for(lambda: bool(self._waiting))
                tenant_id, wishes = next(iter(self._waiting.items()))
                key, wish = wishes.popitem(last=False)
                if wishes:
                    self._waiting.move_to_end(tenant_id)
                else:
                    del self._waiting[tenant_id]
                if time.monotonic() - wish.asked_at < FORGOTTEN_SECONDS:
                    self._in_progress = key
                    return key, wish


class _Wish:
    """Something to be made, and when somebody last asked for it."""

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make
        self.asked_at = time.monotonic()


def _lasts(failure: ApplianceError) -> bool:
    """Whether making it again would fail again."""
    return isinstance(failure, CannotBePlayed)
