"""Commits what several threads write at the same moment in one transaction: one flush of the disk instead of many.

A thread that comes while nothing is being written begins at once, so a lone writer waits for nobody. What comes
meanwhile waits, and the first of those then writes for all of them.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from appliance.state.database import Transaction

MOST = 64  # files in a transaction, above which a flush costs little for each (measured: 16 to 256)

T = TypeVar("T")


class _Write:
    """What one thread wants to write, and what became of it."""

    def __init__(self, action: Callable[[Transaction], Any]) -> None:
        self.action = action
        self.context = contextvars.copy_context()  # with the request that the writer works for
        self.turn = threading.Event()  # set when it has ended, or when its thread is to write for those that wait
        self.ended = False
        self.result: Any = None
        self.error: BaseException | None = None


class Together:
    """Runs actions of several threads in shared transactions. An action that fails takes none of the others with it."""

    def __init__(self, transaction: Callable[[], AbstractContextManager[Transaction]]) -> None:
        self._transaction = transaction
        self._lock = threading.Lock()
        self._waiting: list[_Write] = []
        self._writing = False

    def write(self, action: Callable[[Transaction], T]) -> T:
        """Run the action in a transaction and return its result, when it is committed. Raises what the action raises.

        The action must change nothing but the database: its transaction may fail after it returned.
        """
        own = _Write(action)
        with self._lock:
            self._waiting.append(own)
            begins, self._writing = not self._writing, True
        if not begins:
            own.turn.wait()
        if not own.ended:
            self._write_for_all()
        if own.error:
            raise own.error
        result: T = own.result
        return result

    def _write_for_all(self) -> None:
        with self._lock:
            writes, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            with self._transaction() as tx:
                for write in writes:
                    _run(tx, write)
        except BaseException as error:  # nothing was committed
            for write in writes:
                write.error = write.error or error
        with self._lock:
            for write in writes:
                write.ended = True
                write.turn.set()
            self._writing = bool(self._waiting)
            if self._waiting:
                self._waiting[0].turn.set()


def _run(tx: Transaction, write: _Write) -> None:
    """Run one action. If it fails, only what it wrote is undone. Raises if the whole transaction has failed."""
    tx.change("SAVEPOINT one")
    try:
        write.result = write.context.run(write.action, tx)
    except Exception as error:
        write.error = error
        tx.change("ROLLBACK TO one")
    tx.change("RELEASE one")
