"""The output file of ``detect --output``: one line of JSON for each path, and what a run that goes on reads of it."""

from __future__ import annotations

import fcntl
import json
import os
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from appliance.errors import ConfigurationError

LINE_BEGIN = b'{"file": '


class PathSet:
    """A set that keeps 8 bytes of hash for each path: 17 MB for a million.

    Two of a million paths have the same hash with a probability of 3e-8. A place in the input would need less, but a
    list that was sorted, or a folder that got a file, would then give other files the results of the first run.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 1024))  # open addressing; 0 is free
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, path: str) -> bool:
        """Add a path. Returns False if it was in the set."""
        if 2 * self._count >= len(self._slots):
            old, self._slots = self._slots, array("Q", [0]) * (2 * len(self._slots))
            for value in filter(None, old):
                self._insert(value)
        digest = blake2b(os.fsencode(path), digest_size=8).digest()
        is_new = self._insert(int.from_bytes(digest) or 1)
        self._count += is_new
        return is_new

    def _insert(self, value: int) -> bool:
        mask = len(self._slots) - 1
        place = value & mask
        while (other := self._slots[place]) != value:
            if not other:
                self._slots[place] = value
                return True
            place = (place + 1) & mask
        return False


@dataclass
class Held:
    """What an output holds from an earlier run: the paths with a result, and how many of the results are errors."""

    paths: PathSet = field(default_factory=PathSet)
    num_failed: int = 0


@contextmanager
def open_results(path: Path, *, resume: bool) -> Iterator[tuple[BinaryIO, Held]]:
    """Open or make an output file to append to. With ``resume``, read its results and cut off an unfinished last line.

    Raises ConfigurationError if the file cannot be opened or locked, if it has anything but results, if it has
    anything at all without ``resume``, and if another run writes to it.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("a+b"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"Another run writes to {path}.") from None
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be opened: {error.strerror or error}.") from error
        if not resume and os.fstat(file.fileno()).st_size:
            raise ConfigurationError(f"{path} is not empty: go on with it by --resume, or name another file.")
        yield file, _read(file, path) if resume else Held()


def _read(file: BinaryIO, path: Path) -> Held:
    held = Held()
    end = 0
    file.seek(0)
    for number, line in enumerate(file, 1):
        is_whole = line.endswith(b"\n")
        if not is_whole and (line.startswith(LINE_BEGIN) or LINE_BEGIN.startswith(line)):
            file.truncate(end)  # what a run that was killed leaves; nothing else is cut off
            break
        try:
            result = json.loads(line if is_whole else b"")
            held.paths.add(result["file"])
            held.num_failed += result["error"] is not None
        except (ValueError, TypeError, KeyError):
            raise ConfigurationError(f"Line {number} of {path} is not a result of this command.") from None
        end += len(line)
    return held
