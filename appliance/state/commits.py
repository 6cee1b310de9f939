"""Notices commits to the database without asking all the time: Linux reports each write to SQLite's log."""

from __future__ import annotations

import threading
import time
from typing import Self

from inotify_simple import INotify, flags

from appliance.errors import ConfigurationError
from appliance.state.database import Database

LOOK_SECONDS = 0.003  # a look takes 7 µs
STOP_SECONDS = 0.5  # in which a stop is noticed


class Commits:
    """Waits for commits of other threads and processes. One thread may use it."""

    def __init__(self, db: Database, notices: INotify) -> None:
        self._db = db
        self._notices = notices
        self._version = 0  # at the last look

    @classmethod
    def of(cls, db: Database) -> Self:
        """Watch the folder of the database: its log comes and goes.

        Raises ConfigurationError if Linux lets this user watch nothing more.
        """
        try:
            notices = INotify()
        except OSError as error:
            raise ConfigurationError(
                f"The worker cannot notice new work: {error}. Raise fs.inotify.max_user_instances with sysctl."
            ) from error
        notices.add_watch(db.path.parent, flags.MODIFY)
        return cls(db, notices)

    def wait(self, seconds: float, stopping: threading.Event) -> None:
        """Wait until the database is another one than at the last call, at most for ``seconds``.

        Raises StateError if the database cannot be asked.
        """
        until = time.monotonic() + seconds
        written = False  # what is written can be read a little later, as soon as it is on the disk
        while not stopping.is_set() and not self._changed() and (left := until - time.monotonic()) > 0:
            if written:
                stopping.wait(min(left, LOOK_SECONDS))
            else:
                written = bool(self._notices.read(timeout=int(1000 * min(left, STOP_SECONDS)) + 1))

    def _changed(self) -> bool:
        last, self._version = self._version, self._db.version()
        return self._version != last

    def close(self) -> None:
        """Stop watching."""
        self._notices.close()
