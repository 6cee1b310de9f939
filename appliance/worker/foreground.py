"""What somebody waits for goes before what is done in the background, with the same cores."""

from __future__ import annotations

import threading
import time

QUIET_SECONDS = 0.5  # a call that has begun cannot give way, and whoever waited may send the next recording at once
PATIENCE_SECONDS = 1.0  # with this, what is in the background goes on slowly beside recordings that never end


class Foreground:
    """Counts the recordings that somebody waits for: a context for each. Any number of threads may share it."""

    def __init__(self) -> None:
        self._recordings = 0
        self._quiet_from = 0.0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._recordings += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._recordings -= 1
            self._quiet_from = time.monotonic() + QUIET_SECONDS
            self._changed.notify_all()

    def give_way(self) -> None:
        """Return when there has been no such recording for QUIET_SECONDS, or after PATIENCE_SECONDS."""
        end = time.monotonic() + PATIENCE_SECONDS
        with self._changed:
            while (now := time.monotonic()) < end and (self._recordings or now < self._quiet_from):
                self._changed.wait((end if self._recordings else min(end, self._quiet_from)) - now)
