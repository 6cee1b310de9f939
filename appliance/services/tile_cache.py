"""Pictures of spectrograms on the disk, up to a size; the least recently used go. Nothing is lost with them."""

from __future__ import annotations

import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

FOLDER = "tiles"


class TileCache:
    """The pictures of one data folder. Threads may share it; another process may delete folders of recordings.

    The folder mirrors object storage: the pictures of a recording lie in the folder that its original has there.
    """

    def __init__(self, data_dir: Path, max_bytes: int) -> None:
        self._root = data_dir / FOLDER
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] | None = None
        self._total = 0

    def get(self, name: str) -> bytes | None:
        """Return a picture, None if it is not here."""
        try:
            content = (self._root / name).read_bytes()
        except OSError:
            return None
        with self._lock:
            sizes = self._known()
            if name in sizes:
                sizes.move_to_end(name)
        return content

    def put(self, name: str, content: bytes) -> None:
        """Keep a picture. Raises OSError if the disk is full."""
        if len(content) > self._max_bytes:
            return
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_name(f".{path.name}.{threading.get_ident()}")
        partial.write_bytes(content)
        partial.replace(path)
        with self._lock:
            sizes = self._known()
            self._total += len(content) - sizes.pop(name, 0)
            sizes[name] = len(content)
            while self._total > self._max_bytes:
                oldest, size = sizes.popitem(last=False)
                self._total -= size
                (self._root / oldest).unlink(missing_ok=True)

    def _known(self) -> OrderedDict[str, int]:
        """Return the sizes of all pictures, the least recently written first. They are listed once."""
        if self._sizes is None:
            files = sorted(self._list(), key=lambda file: file[2])
            self._sizes = OrderedDict((name, size) for name, size, _ in files)
            self._total = sum(self._sizes.values())
        return self._sizes

    def _list(self) -> Iterator[tuple[str, int, float]]:
        for folder, _, names in os.walk(self._root):
            for name in names:
                path = Path(folder) / name
                try:
                    status = path.stat()
                except OSError:
                    continue
                yield str(path.relative_to(self._root)), status.st_size, status.st_mtime


def forget_tiles(data_dir: Path, folder: str) -> None:
    """Delete all pictures of a folder of object storage."""
    shutil.rmtree(data_dir / FOLDER / folder, ignore_errors=True)
