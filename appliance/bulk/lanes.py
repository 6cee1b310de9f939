"""Analyzes several recordings at once: each lane is a thread with a decoder process of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Generic, Self, TypeVar

from appliance.engine.decode.decoder import DecodeLimits, Decoder

Item = TypeVar("Item")


class Stopped(Exception):
    """The run ends before this recording does."""


class Lanes(Generic[Item]):
    """Calls ``task`` for items, in ``count`` threads. Of those that wait for a lane, at most ``count`` are held.

    When a task raises, or the block under ``with`` does, the lanes end at the next ``check`` of their recordings.
    """

    def __init__(self, count: int, limits: DecodeLimits, task: Callable[[Item, Decoder], None]) -> None:
        self._task = task
        self._room = threading.Semaphore(2 * count)
        self._error: BaseException | None = None
        self._stopped = False
        self._stack = ExitStack()
        self._pool = ThreadPoolExecutor(count)
        self._decoders: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        for _ in range(count):
            self._decoders.put(self._stack.enter_context(Decoder(limits)))

    def submit(self, item: Item) -> None:
        """Wait until there is room, then let the next free lane take the item. Raises what a task raised."""
        self._room.acquire()
        if self._error:
            raise self._error
        self._pool.submit(self._run, item)

    def check(self) -> None:
        """Raise Stopped if the run ends before its recordings do."""
        if self._stopped:
            raise Stopped

    def _run(self, item: Item) -> None:
        decoder = self._decoders.get()
        try:
            self.check()
            self._task(item, decoder)
        except BaseException as error:
            self._error = self._error or error  # before the others are stopped: theirs is not the reason
            self._stopped = True
        finally:
            self._decoders.put(decoder)
            self._room.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the lanes. Raises what a task raised."""
        self._stopped = self._stopped or kind is not None
        with self._stack:
            self._pool.shutdown()
        if self._error and not kind:
            raise self._error
