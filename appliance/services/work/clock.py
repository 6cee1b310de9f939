"""The wall clock may be set at any moment: then nothing may wait until it catches up, and no upload ends early."""

from __future__ import annotations

import time

import structlog

from appliance.services.box import Box
from appliance.services.work.leases import RETRY_SECONDS
from appliance.state import clock as times

log = structlog.get_logger()

SLEWED_SECONDS = 1.0  # a time service corrects a running clock by much less between two looks


class Clock:
    """Notices that the wall clock was set, as it then moves by more or less than the monotonic clock."""

    def __init__(self) -> None:
        self._offset_seconds = _offset_seconds()

    def follow(self, box: Box) -> None:
        """Move the times in the future with the wall clock, if it was set since the last call."""
        offset_seconds = _offset_seconds()
        step_seconds = offset_seconds - self._offset_seconds
        self._offset_seconds = offset_seconds
        if abs(step_seconds) > SLEWED_SECONDS:
            log.warning("the clock was set", step_seconds=round(step_seconds, 1))
            move_times(box, step_seconds)


def move_times(box: Box, step_seconds: float) -> None:
    """Move the times in the future by a step, and bound them. A step of 0 only bounds them."""
    settings = box.settings
    with box.db.transaction() as tx:
        times.follow(
            tx,
            step_seconds,
            max(RETRY_SECONDS, *settings.webhook_retry_seconds),
            settings.upload_expires_seconds + settings.upload_grace_seconds,
        )


def _offset_seconds() -> float:
    return time.time() - time.monotonic()
