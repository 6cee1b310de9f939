"""SQLite in WAL mode: one connection a thread, one writer at a time in a process.

Several processes writing one file queue better inside a process than at SQLite's lock, whose waiters poll.
A write begins IMMEDIATE: a transaction that reads first and writes later fails with "database is locked" whatever
its timeout.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import sqlite_utils
from sqlite_utils.utils import sqlite3

from appliance.config import Settings
from appliance.errors import ConfigurationError, DatabaseBusy, StateError
from appliance.state.schema import migrations

OLDEST_SQLITE = (3, 51, 3)  # older ones can corrupt a WAL database that several processes write
BUSY_SECONDS = 30.0

Row = Any  # sqlite3.Row of whichever driver sqlite-utils picked: indexed by column name


class Database:
    """The appliance's state. Safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        check_sqlite()
        self.path = path
        self._local = threading.local()
        self._writer = threading.Lock()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The state of the data folder."""
        return cls(settings.data_dir / "appliance.db")

    def migrate(self) -> None:
        """Bring the schema up to date. A lock file keeps out a second process, whose migrations would fail."""
        with self.path.with_suffix(".lock").open("w") as lock, _translated():
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection = self._connect()
            connection.execute("PRAGMA journal_mode = WAL")
            migrations.apply(sqlite_utils.Database(connection))
            connection.close()

    def all(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[Row]:
        """Every row of a query."""
        with _translated():
            return list(self._connection.execute(sql, parameters).fetchall())

    def one(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> Row | None:
        """The first row of a query, or None."""
        with _translated():
            return self._connection.execute(sql, parameters).fetchone()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside commits together, or not at all. The calls inside see their own writes."""
        with self._writer, _translated():
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def change(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> int:
        """Run a statement inside a transaction; the number of rows it changed."""
        with _translated():
            return int(self._connection.execute(sql, parameters).rowcount)

    def leave(self, table: str, row_id: str, leaving: str, assignments: str, values: Sequence[Any]) -> bool:
        """Change a row that is in the status ``leaving``; False where it is not. Inside a transaction."""
        changed = self.change(
            f"UPDATE {table} SET {assignments}, updated_at = unixepoch('subsec') WHERE id = ? AND status = ?",
            [*values, row_id, leaving],
        )
        return changed == 1

    def close(self) -> None:
        """Close this thread's connection."""
        if connection := getattr(self._local, "connection", None):
            connection.close()
            del self._local.connection

    @property
    def _connection(self) -> Any:
        if not hasattr(self._local, "connection"):
            self._local.connection = self._connect()
        return self._local.connection

    def _connect(self) -> Any:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # a confirmed upload survives a power cut
        return connection


def check_sqlite() -> str:
    """The version of SQLite in use. Raises ConfigurationError where it is too old to trust."""
    version: str = sqlite3.sqlite_version
    if tuple(map(int, version.split("."))) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise ConfigurationError(
            f"SQLite {version} can corrupt a database that several processes write; {oldest} or newer is needed. "
            "Install the package pysqlite3, which carries one."
        )
    return version


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise DatabaseBusy(f"The database stayed locked for {BUSY_SECONDS:.0f} s.") from error
        raise StateError(f"The database failed: {error}.") from error
    except sqlite3.Error as error:
        raise StateError(f"The database refused a change: {error}.") from error
