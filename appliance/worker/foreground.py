"""What somebody waits for goes before what is done in the background, with the same cores."""

from __future__ import annotations

import threading

PATIENCE_SECONDS = 1.0  # with this, what is in the background goes on slowly beside recordings that never end


class Foreground:
    """Counts the recordings that somebody waits for: a context for each. Any number of threads may share it."""

    def __init__(self) -> None:
        self._recordings = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._recordings += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._recordings -= 1
            self._changed.notify_all()

    def give_way(self) -> None:
        """Return when there is no such recording, or after PATIENCE_SECONDS."""
        with self._changed:
            self._changed.wait_for(lambda: not self._recordings, PATIENCE_SECONDS)
