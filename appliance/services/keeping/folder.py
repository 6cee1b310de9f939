"""The folder of a backup.

``backup.json`` says what it holds and is written last. ``appliance.db`` is the database, ``catalog.db`` lists the
objects, ``objects/`` has them under their keys, ``spool/`` has uploads on their way to storage, ``models/`` the model
store, ``trained/`` what tenants trained and ``settings.toml`` the settings that are not at their defaults.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from appliance import __version__
from appliance.errors import BackupDamaged, ConfigurationError

FORMAT = 1


@dataclass(frozen=True)
class Description:
    """What a backup is: the release that wrote it, when, in seconds since 1970, and whether it has secrets."""

    format: int
    release: str
    finished_at: float
    has_secrets: bool


@dataclass(frozen=True)
class BackupFolder:
    """The paths of a backup."""

    root: Path

    @property
    def database(self) -> Path:
        """The database."""
        return self.root / "appliance.db"

    @property
    def catalog(self) -> Path:
        """The list of the objects."""
        return self.root / "catalog.db"

    @property
    def spool(self) -> Path:
        """Uploads on their way to storage, ``<batch>/<media>``."""
        return self.root / "spool"

    @property
    def models(self) -> Path:
        """The model store."""
        return self.root / "models"

    @property
    def trained(self) -> Path:
        """The models that tenants trained, a folder for each tenant."""
        return self.root / "trained"

    @property
    def settings(self) -> Path:
        """The settings that are not at their defaults."""
        return self.root / "settings.toml"

    def path_of(self, key: str) -> Path:
        """The file of an object."""
        return self.root / "objects" / key

    def prepare(self) -> None:
        """Make the folder private. Raises ConfigurationError if it has something else in it, or cannot be made."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(self.root.iterdir()) and not self.catalog.exists():
                raise ConfigurationError(f"{self.root} is neither empty nor a backup.")
            self.root.chmod(0o700)
        except OSError as error:
            raise ConfigurationError(f"{self.root} cannot hold a backup: {error.strerror}.") from error

    def describe(self, *, has_secrets: bool) -> None:
        """Declare the backup complete."""
        description = Description(FORMAT, __version__, time.time(), has_secrets)
        partial = self.root / "backup.json.partial"
        partial.write_text(json.dumps(asdict(description), indent=2))
        partial.replace(self.root / "backup.json")

    def description(self) -> Description:
        """Return what the folder holds. Raises BackupDamaged if it is no complete backup that can be read."""
        try:
            description = Description(**json.loads((self.root / "backup.json").read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise BackupDamaged(
                f"{self.root} is not a complete backup: backup.json cannot be read ({error})."
            ) from error
        if description.format != FORMAT or not self.database.is_file():
            raise BackupDamaged(f"{self.root} is not a complete backup of a format that this release reads.")
        return description


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of an older one when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class Hashed:
    """A binary file to write to, which also hashes what passes."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        """Without a file the bytes are only hashed."""
        self._file = file
        self.size_bytes = 0
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False)

    def write(self, data: bytes) -> int:
        """Take bytes."""
        self.size_bytes += len(data)
        self.sha256.update(data)
        self.md5.update(data)
        return self._file.write(data) if self._file else len(data)
