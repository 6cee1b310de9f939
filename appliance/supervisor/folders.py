"""The data folder: private to one user, and served by one appliance."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import ConfigurationError, DataFolderInUse


def make_folders(data_dir: Path) -> None:
    """Make the data folder one that no other user of this machine can read, also if it was there before.

    Raises ConfigurationError.
    """
    os.umask(0o077)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        mode = data_dir.stat().st_mode
        if mode & stat.S_ISVTX:
            raise ConfigurationError(f"{data_dir} is shared by all users of this machine; name a folder inside it.")
        if mode & 0o077:
            data_dir.chmod(0o700)
        for folder in (data_dir / "logs", data_dir / "run" / "frontdoor"):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {data_dir} cannot be made private to this user: {error.strerror}."
        ) from error


@contextmanager
def lock_folder(data_dir: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the data folder: alone, or, if ``shared``, together with other units of the same appliance.

    Raises DataFolderInUse.
    """
    with lock_file(data_dir).open("w") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderInUse(f"Another appliance is serving {data_dir}.") from None
        yield


def is_served(data_dir: Path) -> bool:
    """Return whether an appliance serves the data folder now."""
    if not lock_file(data_dir).exists():
        return False
    try:
        with lock_folder(data_dir):
            return False
    except DataFolderInUse:
        return True


def lock_file(data_dir: Path) -> Path:
    """Return the path of the file that whoever serves the data folder holds locked."""
    return data_dir / "lock"
