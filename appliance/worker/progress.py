"""Reports the progress of a transcript while a long file is processed."""

from __future__ import annotations

import time

from appliance.services.speech import work as speech_work
from appliance.worker.lane import Lane

REPORT_SECONDS = 2.0


class Progress:
    """A checkpoint of the engine that also stores the progress, at most every REPORT_SECONDS."""

    def __init__(self, lane: Lane, duration_seconds: float | None) -> None:
        """Without a duration it reports nothing and only checks for cancellation."""
        self._lane = lane
        self._duration_seconds = duration_seconds
        self._reported = time.monotonic()

    def __call__(self, seconds: float) -> None:
        """Note that ``seconds`` of the recording were read. Raises Stopped, LeaseLost, DatabaseBusy."""
        self._lane.checkpoint()
        if not self._duration_seconds or time.monotonic() - self._reported < REPORT_SECONDS:
            return
        self._reported = time.monotonic()
        # The recording may be longer than its header claims.
        speech_work.report_progress(
            self._lane.box, self._lane.work.subject_id, min(seconds / self._duration_seconds, 0.99)
        )
