"""Recordings in files, and which ones the arguments of ``detect`` name: files, folders, patterns and a list.

All of it is read as it is needed: neither a folder of a million files nor a list of as many is held in memory. So the
files of a folder come in the order of the file system.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

LIST = "-"  # the argument that stands for the list on standard input
# Formats that the engine does not decode are here too: they are reported, and not passed over.
SUFFIXES = (
    *(".aac", ".flac", ".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp3", ".mp4", ".oga", ".ogg", ".opus"),
    *(".w64", ".wav", ".wave", ".webm"),
    *(".aif", ".aiff", ".amr", ".ape", ".au", ".caf", ".wma", ".wv"),
)


class Recording(NamedTuple):
    """A path to analyse, or with an error, one that leads to no recording."""

    path: str
    error: str | None = None


class _Entry(NamedTuple):
    """An entry of a folder, or with an error, a folder that cannot be read."""

    path: str
    name: str
    is_folder: bool
    error: str | None = None


def expand(arguments: Sequence[str], stdin: BinaryIO) -> Iterator[Recording]:
    """Yield the recordings that the arguments name, each as often as it is named.

    A line of the list on ``stdin`` may be whatever an argument may be, except another list.
    """
    for argument in arguments:
        if argument != LIST:
            yield from _expand_one(argument)
            continue
        for line in stdin:
            if path := os.fsdecode(line.removesuffix(b"\n")):
                yield from _expand_one(path)


def count(arguments: Sequence[str], stdin: BinaryIO) -> int | None:
    """Return how many recordings ``expand`` yields, None if that is unknown. Leaves the position of ``stdin``.

    A line of the list counts as one recording. The length of a list from a pipe is unknown.
    """
    num_lines = _count_lines(stdin) if LIST in arguments else 0
    if num_lines is None:
        return None
    return num_lines + sum(1 for _ in expand([argument for argument in arguments if argument != LIST], stdin))


def open_recording(path: str) -> BinaryIO:
    """Open a file. A named pipe is opened without waiting for its other end. Raises OSError."""
    if "\0" in path:
        raise FileNotFoundError(errno.ENOENT, "No path has a NUL character")
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def _count_lines(file: BinaryIO) -> int | None:
    num_lines = position = 0
    try:
        while block := os.pread(file.fileno(), 1 << 20, position):
            num_lines += block.count(b"\n")
            position += len(block)
    except OSError:  # a pipe, or no file of the operating system
        return None
    return num_lines


def _expand_one(path: str) -> Iterator[Recording]:
    if os.path.isdir(path):
        recordings, problem = walk(path), "The folder has no recordings."
    elif glob.has_magic(path) and not os.path.lexists(path):
        recordings, problem = _match("", path.split(os.sep)), "No file matches the pattern."
    else:
        yield Recording(path)
        return
    is_empty = True
    for recording in recordings:
        is_empty = False
        yield recording
    if is_empty:
        yield Recording(path, problem)


def walk(folder: str) -> Iterator[Recording]:
    """Yield the files below a folder whose suffix is a recording's."""
    for entry in _tree(folder):
        if entry.error or (not entry.is_folder and entry.name.lower().endswith(SUFFIXES)):
            yield Recording(entry.path, entry.error)


def _match(folder: str, parts: list[str]) -> Iterator[Recording]:
    """Yield the files below a folder that match a pattern, whose parts are names of one level or ``**``."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _match(folder, rest) if rest else walk(folder)
        for entry in _tree(folder) if rest else ():
            if entry.is_folder and not entry.error:
                yield from _match(entry.path, rest)
    elif not glob.has_magic(part):
        path = os.path.join(folder, part) if part or folder else os.sep
        if rest and os.path.isdir(path):
            yield from _match(path, rest)
        elif not rest and os.path.isfile(path):
            yield Recording(path)
    else:
        yield from _match_names(folder, part, rest)


def _match_names(folder: str, part: str, rest: list[str]) -> Iterator[Recording]:
    for entry in _entries(folder):
        if entry.error:
            yield Recording(entry.path, entry.error)
        elif fnmatch.fnmatchcase(entry.name, part) and os.path.isdir(entry.path) == bool(rest):
            yield from _match(entry.path, rest) if rest else [Recording(entry.path)]


def _tree(folder: str) -> Iterator[_Entry]:
    """Yield all entries below a folder, a folder before its entries. Links to folders are not followed."""
    open_folders = [_entries(folder)]
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
            continue
        yield entry
        if entry.is_folder and not entry.error:
            open_folders.append(_entries(entry.path))


def _entries(folder: str) -> Iterator[_Entry]:
    """Yield the entries of a folder that are not hidden. If it cannot be read, yield one entry with the error."""
    try:
        with os.scandir(folder or os.curdir) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    path = os.path.join(folder, entry.name)
                    yield _Entry(path, entry.name, entry.is_dir(follow_symlinks=False))
    except OSError as error:
        yield _Entry(folder, "", True, f"The folder cannot be read: {error.strerror}.")
