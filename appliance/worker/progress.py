"""Tells how far a transcript is while a long file runs."""

from __future__ import annotations

import time

from appliance.services.speech import transcripts
from appliance.worker.lane import Lane

REPORT_SECONDS = 2.0


class Progress:
    """A checkpoint of the engine that also notes the progress, every REPORT_SECONDS at most."""

    def __init__(self, lane: Lane, duration_seconds: float | None) -> None:
        """Where the duration is not known, only whether to go on is asked."""
        self._lane = lane
        self._duration_seconds = duration_seconds
        self._reported = time.monotonic()

    def __call__(self, seconds: float) -> None:
        """``seconds`` of the recording were read. Raises Stopped, LeaseLost, DatabaseBusy."""
        self._lane.checkpoint()
        if not self._duration_seconds or time.monotonic() - self._reported < REPORT_SECONDS:
            return
        self._reported = time.monotonic()
        # What the header says of the duration may fall short of what comes.
        transcripts.report_progress(
            self._lane.box, self._lane.work.subject_id, min(seconds / self._duration_seconds, 0.99)
        )
