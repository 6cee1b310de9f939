"""The spool: files of batch uploads on the local disk, synced before the request is answered.

A request writes into a folder of its own, ``spool/<batch>/<media>``, and locks it until its end. So the sweep can
distinguish the folder of a request in progress from one that an interrupted request left, without guessing by age.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.errors import FileTooLarge, ObjectMissing
from appliance.locks import held
from appliance.services.box import Box
from appliance.state import media as media_rows
from appliance.state.media import Media

UNLOCKED_SECONDS = 60.0  # a folder this young may be about to be locked


@contextmanager
def folder_for(box: Box, batch_id: str) -> Iterator[Path]:
    """Make and lock the folder of a request; remove it if the block raises."""
    folder = _root(box) / batch_id
    folder.mkdir(parents=True, mode=0o700)
    with held(folder):
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def write(path: Path, blocks: Iterable[bytes], max_bytes: int) -> int:
    """Write a file as its blocks arrive, and sync it. Returns its size in bytes. Raises FileTooLarge."""
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
    for path in (folder, folder.parent, folder.parent.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def path_of(box: Box, media: Media) -> Path:
    """Return the path of spooled media. Raises ObjectMissing if there is no file."""
    path = _root(box) / (media.batch_id or "") / media.id
    if not path.is_file():
        raise ObjectMissing("The file is no longer in the spool folder.")
    return path


def discard(box: Box, media: Media) -> None:
    """Remove the file of stored media, and the folder after its last file."""
    folder = _root(box) / (media.batch_id or "")
    (folder / media.id).unlink(missing_ok=True)
    with suppress(OSError):  # other files of the batch are not stored yet
        folder.rmdir()


def sweep(box: Box) -> None:
    """Remove files that belong to no spooled media: those of interrupted requests, and stored ones."""
    for folder in _root(box).iterdir() if _root(box).is_dir() else ():
        with suppress(
            BlockingIOError, FileNotFoundError
        ):  # its request is in progress, or its last file was stored just now
            if time.time() - folder.stat().st_mtime >= UNLOCKED_SECONDS:
                _sweep(box, folder)


def _sweep(box: Box, folder: Path) -> None:
    with held(folder):
        for path in folder.iterdir():
            media = media_rows.find_media(box.db, path.name)
            if media is None or media.status != "spooled":
                path.unlink(missing_ok=True)
        with suppress(OSError):  # some files are not stored yet
            folder.rmdir()


def _root(box: Box) -> Path:
    return box.settings.data_dir / "spool"
