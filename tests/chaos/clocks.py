"""A wall clock of the Python processes alone, which can be set while they run. The machine's clock is left alone.

Storage is a static program that no library reaches. So requests to it are signed with the machine's time, as if storage
had been set too; but the times of its objects are the machine's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).with_name("clock")
DAY_SECONDS = 86_400


def why_no_clock() -> str | None:
    """Return None if a clock can be made on this machine, else the reason that it cannot."""
    return None if shutil.which("cc") else "there is no C compiler (cc)"


class Clock:
    """The clock of all processes that are started within ``applied``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._file, self._library = folder / "clock", folder / "clock.so"
        self._ahead_seconds = 0
        self._write()
        compiler = ["cc", "-O2", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE / "clock.c"), "-ldl"]
        subprocess.run(compiler, check=True)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Give processes that are started in this block the clock."""
        before = dict(os.environ)
        os.environ.update(LD_PRELOAD=str(self._library), CHAOS_CLOCK=str(self._file), PYTHONPATH=str(SOURCE))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def step(self, seconds: int) -> None:
        """Set the clock forward, or back, while the processes run."""
        self._ahead_seconds += seconds
        self._write()

    def _write(self) -> None:
        """Write in place, in one call, because the processes have mapped the file."""
        descriptor = os.open(self._file, os.O_CREAT | os.O_WRONLY, 0o644)
        os.pwrite(descriptor, self._ahead_seconds.to_bytes(8, "little", signed=True), 0)
        os.close(descriptor)
