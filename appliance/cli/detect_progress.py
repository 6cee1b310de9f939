"""Shows on standard error how far ``detect`` is: always on a terminal, else once in a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from appliance.cli.output_formats import clock

REPORT_SECONDS = 30.0  # between two lines, if standard error is no terminal
MIN_SECONDS = 0.2  # before that a rate says nothing


class Progress:
    """Counts files and seconds of audio, from any thread.

    num_held, num_failed : the results that the output holds from an earlier run, and how many of them are errors.
    """

    def __init__(
        self, num_held: int, num_failed: int, count_files: Callable[[], int | None], *, live: bool = True
    ) -> None:
        """``count_files`` returns the number of all files, None if it is unknown. It may take long.

        ``live`` : on a terminal, show a line that changes.
        """
        self.num_failed = num_failed
        self.num_files: int | None = None
        self._num_held = num_held
        self._num_ended = 0
        self._audio_seconds = 0.0
        self._began = self._reported = time.monotonic()
        self._lock = threading.Lock()
        self._console = Console(stderr=True)
        # Standard output has the results: it must not be redirected to this console.
        self._live = Live(
            get_renderable=lambda: Text(self.text()), console=self._console, transient=True, redirect_stdout=False
        )
        self._is_live = live and self._console.is_terminal
        self._counter = threading.Thread(target=self._count, args=(count_files,), daemon=True)

    def __enter__(self) -> Self:
        self._counter.start()
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._is_live:
            self._live.stop()
        if self._reported != self._began:
            self._print()

    def hear(self, seconds: float) -> None:
        """Add seconds of audio that were analysed."""
        with self._lock:
            self._audio_seconds += seconds
            self._report_if_due()

    def end_file(self, *, failed: bool) -> None:
        """Count a file."""
        with self._lock:
            self._num_ended += 1
            self.num_failed += failed
            self._report_if_due()

    def end_inputs(self, num_inputs: int) -> None:
        """Note that there are no more files to come: ``num_inputs`` were taken in this run."""
        with self._lock:
            self.num_files = self._num_held + num_inputs

    def text(self) -> str:
        """Return one line: files, failures, files/s, × real time and time left, as far as they are known."""
        elapsed = time.monotonic() - self._began
        num_done = self._num_held + self._num_ended
        total = "" if self.num_files is None else f" of {self.num_files:,}"
        parts = [f"{num_done:,}{total} files"]
        if self.num_failed:
            parts.append(f"{self.num_failed:,} failed")
        if elapsed > MIN_SECONDS:
            rate = self._num_ended / elapsed
            parts += [f"{rate:,.1f} files/s", f"{self._audio_seconds / elapsed:,.0f} × real time"]
            if rate and self.num_files is not None:
                seconds = round(max(self.num_files - num_done, 0) / rate)
                parts.append(f"{clock(1000 * seconds).removesuffix('.000')} left")
        return ", ".join(parts)

    def _count(self, count_files: Callable[[], int | None]) -> None:
        num_files = count_files()
        with self._lock:
            self.num_files = num_files if self.num_files is None else self.num_files

    def _report_if_due(self) -> None:
        now = time.monotonic()
        if not self._console.is_terminal and now - self._reported >= REPORT_SECONDS:
            self._reported = now
            self._print()

    def _print(self) -> None:
        self._console.print(self.text(), highlight=False, soft_wrap=True)
