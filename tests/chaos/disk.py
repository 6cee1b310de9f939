"""A disk that forgets what was not synced: the recorded calls of a process, applied up to any moment.

The rules are those of POSIX, stricter than most file systems: written bytes are sure only after ``fsync`` of the file,
and a name is sure only after ``fsync`` of its folder. What is not sure may be there, in any part, or not.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR_BYTES = 512  # the unit that a disk writes as a whole
RECORDED = "openat,mkdir,write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,unlinkat,rmdir"

_LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\)\s+= (\d+)(?:<([^>]*)>)?$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"^(?:\d+|AT_FDCWD)<([^>]*)>")


@dataclass(frozen=True)
class Call:
    """A system call that changed the disk or synced it. ``offset`` is None for a write at the end of the file."""

    name: str
    path: str
    data: bytes = b""
    offset: int | None = None
    target: str = ""


def read_calls(trace: Path) -> Iterator[Call]:
    """Yield the calls in the output of ``strace -f -y -xx -e trace=RECORDED``. Failed calls are left out."""
    with trace.open(encoding="ascii") as lines:
        for line in lines:
            if match := _LINE.match(line.rstrip("\n")):
                name, arguments, result, opened = match.groups()
                if call := _call(name, arguments, int(result), opened):
                    yield call


def _call(name: str, arguments: str, result: int, opened: str | None) -> Call | None:
    texts = [_bytes(text) for text in _TEXT.findall(arguments)]
    descriptor = _DESCRIPTOR.match(arguments)
    folder = os.fsdecode(_bytes(descriptor[1])) if descriptor else ""
    match name:
        case "openat":
            is_new = "O_CREAT" in arguments and opened
            return Call("create", os.fsdecode(_bytes(opened))) if is_new else None
        case "write":
            return Call("write", folder, texts[0][:result])
        case "pwrite64":
            return Call("write", folder, texts[0][:result], int(arguments.rpartition(", ")[2]))
        case "ftruncate":
            return Call("truncate", folder, offset=int(arguments.rpartition(", ")[2]))
        case "fsync" | "fdatasync":
            return Call("sync", folder)
        case "rename":
            return Call("rename", os.fsdecode(texts[0]), target=os.fsdecode(texts[1]))
        case "mkdir":
            return Call("mkdir", os.fsdecode(texts[0]))
        case _:  # unlink, unlinkat, rmdir
            return Call("remove", os.path.join(folder, os.fsdecode(texts[0])))


def _bytes(text: str | None) -> bytes:
    return bytes.fromhex((text or "").replace("\\x", ""))


@dataclass
class File:
    """The bytes of a file that are sure, and the changes since, each a write or a new length."""

    sure: bytearray = field(default_factory=bytearray)
    changes: list[tuple[int, bytes | None]] = field(default_factory=list)
    size: int = 0

    def write(self, offset: int | None, data: bytes) -> None:
        """Write at an offset, or at the end."""
        start = self.size if offset is None else offset
        self.changes.append((start, data))
        self.size = max(self.size, start + len(data))

    def truncate(self, size: int) -> None:
        """Set the length."""
        self.changes.append((size, None))
        self.size = size

    def sync(self) -> None:
        """Make all changes sure."""
        self.sure, self.changes = self.after(self.changes), []

    def after(self, changes: list[tuple[int, bytes | None]]) -> bytearray:
        """The bytes that are sure with some of the changes."""
        content = bytearray(self.sure)
        for offset, data in changes:
            size = offset if data is None else offset + len(data)
            if len(content) < size:
                content.extend(bytes(size - len(content)))
            if data is None:
                del content[size:]
            else:
                content[offset:size] = data
        return content


class Disk:
    """The files below one folder, and the names under which they are there now and for sure."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.names: dict[str, File | None] = {}  # None for a folder
        self.sure_names: dict[str, File | None] = {}

    def holds(self, path: str) -> bool:
        """Whether the path is below the folder."""
        return path.startswith(self._root + "/") or path == self._root

    def apply(self, call: Call) -> None:
        """Apply a call of the recorded process."""
        path = call.path
        match call.name:
            case "create":
                self.names.setdefault(path, File())
            case "mkdir":
                self.names.setdefault(path, None)
            case "remove":
                self.names.pop(path, None)
            case "rename":
                self.names[call.target] = self.names.pop(path)
            case "sync" if path == self._root or self.names.get(path, self) is None:
                self._sync_names(path)
            case _:
                self._apply_to_file(call)

    def _apply_to_file(self, call: Call) -> None:
        file = self.names.get(call.path)
        if file is None:
            return  # it was removed, but is still open
        match call.name:
            case "write":
                file.write(call.offset, call.data)
            case "truncate":
                file.truncate(call.offset or 0)
            case "sync":
                file.sync()

    def _sync_names(self, folder: str) -> None:
        inside = {path for path in (*self.names, *self.sure_names) if os.path.dirname(path) == folder}
        for path in inside:
            if path in self.names:
                self.sure_names[path] = self.names[path]
            else:
                self.sure_names.pop(path, None)

    def sync_all(self) -> None:
        """Make everything sure, as before the recorded work begins."""
        for file in self.names.values():
            if file:
                file.sync()
        self.sure_names = dict(self.names)

    def write_to(self, target: Path, luck: random.Random | None) -> None:
        """Write what a power cut leaves into an empty folder.

        Without ``luck`` only what is sure; else any part of the rest too, by whole sectors.
        """
        names = dict(self.sure_names)
        if luck:
            for path in {*self.names, *self.sure_names}:
                if luck.random() < 0.5:
                    names.pop(path, None)
                    if path in self.names:
                        names[path] = self.names[path]
        for path, file in sorted(names.items()):
            place = target / os.path.relpath(path, self._root)
            if not self._is_reachable(path, names):
                continue
            if file is None:
                place.mkdir(exist_ok=True)
            else:
                place.write_bytes(file.after(_part(file.changes, luck) if luck else []))

    def _is_reachable(self, path: str, names: dict[str, File | None]) -> bool:
        parent = os.path.dirname(path)
        return parent == self._root or (parent in names and self._is_reachable(parent, names))


def _part(changes: list[tuple[int, bytes | None]], luck: random.Random) -> list[tuple[int, bytes | None]]:
    """Some of the changes, and of the writes some of the sectors."""
    kept: list[tuple[int, bytes | None]] = []
    for offset, data in changes:
        if luck.random() < 0.3:
            continue
        if data is None or luck.random() < 0.5:
            kept.append((offset, data))
            continue
        for start in range(0, len(data), SECTOR_BYTES):
            if luck.random() < 0.5:
                kept.append((offset + start, data[start : start + SECTOR_BYTES]))
    return kept
