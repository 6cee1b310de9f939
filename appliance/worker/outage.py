"""Something that fails again and again, such as a claim while the disk is full."""

from __future__ import annotations

import structlog

from appliance.errors import ApplianceError, StorageFull

log = structlog.get_logger()

LONGEST_SECONDS = 30.0


class Outage:
    """Failures of one step in a row: the first is logged, and so is their end. The waits between them grow."""

    def __init__(self, step: str, first_seconds: float) -> None:
        self._step = step
        self._first_seconds = first_seconds
        self._code: str | None = None
        self._seconds = first_seconds

    def failed(self, error: Exception) -> float:
        """Note a failure. Returns the seconds to wait before the next try."""
        if StorageFull.is_cause_of(error):
            error = StorageFull(f"The disk of the appliance is full: {error}.")
        known = isinstance(error, ApplianceError)
        code = error.code if isinstance(error, ApplianceError) else type(error).__name__
        if code == self._code:
            self._seconds = min(2 * self._seconds, LONGEST_SECONDS)
        else:
            log.error("step failed", step=self._step, code=code, error=str(error), exc_info=None if known else error)
            self._code, self._seconds = code, self._first_seconds
        return self._seconds

    def ended(self) -> None:
        """Note a success."""
        if self._code:
            log.info("step works again", step=self._step, failed_with=self._code)
            self._code = None
