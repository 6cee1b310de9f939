"""Files on their way to storage: on this disk, and synced, before their sender is told that they are here.

A request spools into a folder of its own, ``spool/<batch>/<media>``, and locks that while it lasts. So the sweep can
tell the folder of a request in progress from what an interrupted one left, without guessing by age.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.errors import FileTooLarge, ObjectMissing
from appliance.services.box import Box
from appliance.state import media
from appliance.state.media import Media

UNLOCKED_SECONDS = 60.0  # a folder this young may be about to be locked


@contextmanager
def folder_for(box: Box, batch_id: str) -> Iterator[Path]:
    """The locked folder of a request; it is gone again where the block raises."""
    folder = _root(box) / batch_id
    folder.mkdir(parents=True, mode=0o700)
    with _locked(folder):
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def write(path: Path, blocks: Iterable[bytes], max_bytes: int) -> int:
    """Write a file as its blocks arrive, and sync it; its size. Raises FileTooLarge."""
    size_bytes = 0
    with path.open("xb") as file:
        for block in blocks:
            size_bytes += len(block)
            if size_bytes > max_bytes:
                raise FileTooLarge(f"A file of the batch is over the limit of {max_bytes} bytes.")
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return size_bytes


def sync(folder: Path) -> None:
    """Sync the names of the files in a folder, and those of the folders above it up to the data folder."""
    for each in (folder, folder.parent, folder.parent.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def path_of(box: Box, source: Media) -> Path:
    """Where spooled media is. Raises ObjectMissing where it is not."""
    path = _root(box) / (source.batch_id or "") / source.id
    if not path.is_file():
        raise ObjectMissing("The file is no longer in the spool folder.")
    return path


def discard(box: Box, source: Media) -> None:
    """Remove the file of media that is stored, and its folder with the last one."""
    folder = _root(box) / (source.batch_id or "")
    (folder / source.id).unlink(missing_ok=True)
    with suppress(OSError):  # other files of the batch are still on their way
        folder.rmdir()


def sweep(box: Box) -> None:
    """Remove files that no spooled media names: what interrupted requests left, and what is stored."""
    for folder in _root(box).iterdir() if _root(box).is_dir() else ():
        with suppress(BlockingIOError, FileNotFoundError):  # its request lasts; its last file was stored just now
            if time.time() - folder.stat().st_mtime >= UNLOCKED_SECONDS:
                _sweep(box, folder)


def _sweep(box: Box, folder: Path) -> None:
    with _locked(folder):
        for path in folder.iterdir():
            source = media.find_media(box.db, path.name)
            if source is None or source.status != "spooled":
                path.unlink(missing_ok=True)
        with suppress(OSError):  # what is still on its way
            folder.rmdir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which ends with its holder. Raises BlockingIOError where someone else has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _root(box: Box) -> Path:
    return box.settings.data_dir / "spool"
