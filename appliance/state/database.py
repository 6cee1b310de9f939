"""SQLite in WAL mode: one connection per thread, one writer at a time in a process.

Several processes writing one file queue better inside a process than at SQLite's lock, whose waiters poll.
A write begins IMMEDIATE: a transaction that reads first and writes later fails with "database is locked" whatever
its timeout.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import sqlite_utils
from sqlite_utils.utils import sqlite3

from appliance import metrics
from appliance.config import Settings
from appliance.errors import ChangeRefused, ConfigurationError, DatabaseBusy, DatabaseDamaged, StateError, StorageFull
from appliance.state.checks import apply_moves
from appliance.state.moves import Machine
from appliance.state.schema import migrations
from appliance.state.together import Together

OLDEST_SQLITE = (3, 51, 3)  # older ones can corrupt a WAL database that several processes write
BUSY_SECONDS = 30.0
PROBE_SECONDS = 3.0
PRIVATE = 0o600

Row = Any  # sqlite3.Row of whichever driver sqlite-utils picked: indexed by column name
Parameters = Sequence[Any] | dict[str, Any]


class Reader:
    """What can be read from: the database, or a transaction, which also sees its own writes."""

    @property
    def _connection(self) -> Any:
        raise NotImplementedError

    def all(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return every row of a query."""
        with _translated():
            return list(self._connection.execute(sql, parameters).fetchall())

    def one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row of a query, or None."""
        with _translated():
            return self._connection.execute(sql, parameters).fetchone()


class Transaction(Reader):
    """A transaction in progress. Whatever writes takes one, so that its caller decides what commits together."""

    def __init__(self, connection: Any) -> None:
        self._open_connection = connection

    @property
    def _connection(self) -> Any:
        return self._open_connection

    def change(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement and return the number of rows that it changed."""
        with _translated():
            return int(self._connection.execute(sql, parameters).rowcount)

    def insert(self, table: str, stamps: tuple[str, ...] = ("created_at", "updated_at"), **values: Any) -> None:
        """Insert a row of ``values``; the columns ``stamps`` get the time of SQLite's clock."""
        columns = ", ".join([*values, *stamps])
        places = ", ".join(["?"] * len(values) + ["unixepoch('subsec')"] * len(stamps))
        self.change(f"INSERT INTO {table} ({columns}) VALUES ({places})", [*values.values()])

    def move(self, machine: Machine, row_id: str, leaving: str, entering: str, **values: Any) -> bool:
        """Move a row from one status to another and set the columns in ``values``.

        Returns False if the row has another status than ``leaving``. Raises ChangeRefused if the move is not listed.
        """
        if not machine.allows(leaving, entering):
            raise ChangeRefused(f"{machine.table}: the move from {leaving} to {entering} is not listed in moves.py.")
        return self.update(machine, row_id, leaving, status=entering, **values)

    def update(self, machine: Machine, row_id: str, status_now: str, /, **values: Any) -> bool:
        """Set the columns in ``values`` of a row that has the status ``status_now``. Returns False if it has another.

        A table with a column ``updated_at`` gets the time there.
        """
        stamp = ", updated_at = unixepoch('subsec')" if machine.stamped else ""
        changed = self.change(
            f"UPDATE {machine.table} SET {', '.join(f'{name} = ?' for name in values)}{stamp} "
            "WHERE id = ? AND status = ?",
            [*values.values(), row_id, status_now],
        )
        return changed == 1


class Database(Reader):
    """The state of the appliance. Threads may share it."""

    def __init__(self, path: Path) -> None:
        check_sqlite()
        self.path = path
        self._local = threading.local()
        self._writer = threading.Lock()
        self.together = Together(self.transaction)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the state of the data folder."""
        return cls(settings.data_dir / "appliance.db")

    def migrate(self) -> None:
        """Bring the schema up to date. A lock file keeps out a second process, whose migrations would fail.

        No other user can read the files, also if they were there before. SQLite makes its own as the first one is.
        """
        self.path.touch(mode=PRIVATE)
        for file in self.path.parent.glob(f"{self.path.name}*"):
            file.chmod(PRIVATE)
        with self.path.with_suffix(".lock").open("w") as lock, _translated():
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection = self._connect()
            connection.execute("PRAGMA journal_mode = WAL")
            database = sqlite_utils.Database(connection)
            migrations.apply(database)
            connection.execute("BEGIN IMMEDIATE")
            apply_moves(database)
            connection.execute("COMMIT")
            connection.close()

    def check(self) -> None:
        """Read the whole database once; other processes may read and write meanwhile. Raises DatabaseDamaged."""
        advice = (
            "Stop the appliance, keep a copy of the file, and restore it from a backup. "
            "Without one, `sqlite3 OLD .recover | sqlite3 NEW` saves what can still be read."
        )
        try:
            with closing(self._connect()) as connection:
                fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError as error:
            raise StateError(f"The database {self.path} cannot be checked: {error}.") from error
        except sqlite3.DatabaseError as error:
            fault = str(error)
        if fault != "ok":
            raise DatabaseDamaged(f"The database {self.path} is damaged ({' '.join(fault.split())}). {advice}")

    def faults(self) -> list[str]:
        """Check everything that SQLite can check, up to 100 faults. Reads the whole database more than once."""
        with _translated(), closing(self._connect()) as connection:
            lines = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            faults = [] if lines == ["ok"] else lines
            for row in connection.execute("PRAGMA foreign_key_check"):
                faults.append(f"{row[0]}: row {row[1]} names a row of {row[2]} that does not exist")
            return faults[:100]

    def copy_to(self, path: Path) -> None:
        """Write all of the database, as it is at one moment, to a new file. Writers need not wait."""
        with _translated(), closing(self._connect()) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it

    def check_writable(self) -> None:
        """Commit a change that changes nothing, as a probe. Raises DatabaseBusy soon, and StateError."""
        with _translated(PROBE_SECONDS), closing(self._connect(PROBE_SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("PRAGMA user_version = 0")
            connection.execute("COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Everything that is written through the transaction commits together, or not at all."""
        started = time.monotonic()
        with self._writer, _translated():
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            metrics.DATABASE_WAIT_SECONDS.observe(time.monotonic() - started)
            try:
                yield Transaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite itself rolls back if the disk is full
                    connection.execute("ROLLBACK")
                raise

    def version(self) -> int:
        """Return a number that is another one after a commit by another thread or process."""
        row = self.one("PRAGMA data_version")
        assert row
        return int(row[0])

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

    def _connect(self, busy_seconds: float | None = None) -> Any:
        connection = sqlite3.connect(self.path, timeout=busy_seconds or BUSY_SECONDS, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        connection.execute("PRAGMA synchronous = FULL")  # a confirmed upload survives a power cut
        return connection


def columns(row_class: type, **expressions: str) -> str:
    """Return the SELECT list of a dataclass: a column for each field, or the expression given for it."""
    names = (field.name for field in fields(row_class))
    return ", ".join(f"{expressions[name]} AS {name}" if name in expressions else name for name in names)


def where(**values: object) -> str:
    """Return a condition: each column equals the parameter of its name, without the columns whose value is None.

    ``:a IS NULL OR a = :a`` in its place would keep SQLite from using an index on ``a``.
    """
    return " AND ".join(f"{name} = :{name}" for name, value in values.items() if value is not None)


def check_sqlite() -> str:
    """Return the version of SQLite in use. Raises ConfigurationError if it is too old to be trusted."""
    version: str = sqlite3.sqlite_version
    if tuple(map(int, version.split("."))) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise ConfigurationError(
            f"SQLite {version} can corrupt a database that several processes write; {oldest} or newer is needed. "
            "Install the package pysqlite3, which contains one."
        )
    return version


@contextmanager
def _translated(busy_seconds: float | None = None) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise DatabaseBusy(f"The database stayed locked for {busy_seconds or BUSY_SECONDS:.0f} s.") from error
        if "disk is full" in str(error):
            raise StorageFull("The disk of the database is full.") from error
        raise StateError(f"The database failed: {error}.") from error
    except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError) as error:
        raise ChangeRefused(f"The database refused a change: {error}.") from error
    except sqlite3.Error as error:
        raise StateError(f"The database failed: {error}.") from error
