"""The catalog of a backup: every object in it, in a SQLite file of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlite_utils.utils import sqlite3

from appliance.errors import BackupDamaged

TABLE = """
    CREATE TABLE IF NOT EXISTS objects (
        key TEXT PRIMARY KEY, etag TEXT NOT NULL, size_bytes INTEGER NOT NULL, sha256 TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """


@dataclass(frozen=True)
class KeptCopy:
    """An object in a backup. ``etag`` is the tag that storage gave it, ``sha256`` that of its bytes in hexadecimal."""

    key: str
    etag: str
    size_bytes: int
    sha256: str


class Catalog:
    """The objects of one backup by their keys. Raises BackupDamaged if the file cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute(TABLE)
        except sqlite3.Error as error:
            raise BackupDamaged(f"{path} cannot be read: {error}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def find(self, key: str) -> KeptCopy | None:
        """Return the copy of an object, or None."""
        row = self._connection.execute("SELECT key, etag, size_bytes, sha256 FROM objects WHERE key = ?", [key])
        return next((KeptCopy(*values) for values in row), None)

    def all_keys(self) -> Iterator[str]:
        """Yield every key in order. The catalog may change meanwhile."""
        last = ""
        while rows := self._connection.execute(
            "SELECT key FROM objects WHERE key > ? ORDER BY key LIMIT 1000", [last]
        ).fetchall():
            yield from (row[0] for row in rows)
            last = rows[-1][0]

    def add(self, copies: Iterable[KeptCopy]) -> None:
        """Note copies, all or none."""
        rows = [(copy.key, copy.etag, copy.size_bytes, copy.sha256) for copy in copies]
        with closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN")
            cursor.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", rows)
            cursor.execute("COMMIT")

    def remove(self, key: str) -> None:
        """Forget a copy."""
        self._connection.execute("DELETE FROM objects WHERE key = ?", [key])
