"""The wall clock may be set at any moment: then nothing may wait until it catches up, and no upload ends early."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import structlog

from appliance.services.box import Box
from appliance.services.work.leases import RETRY_SECONDS
from appliance.state import clock as times

log = structlog.get_logger()

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SLEWED_SECONDS = 1.0  # a time service corrects a running clock by much less between two looks


class Clock:
    """Notices that the wall clock was set, as it then moves by more or less than the monotonic clock.

    What it last saw is in a file, so that the next worker notices a step that came while no worker looked. A file from
    before the machine was started says nothing, because the monotonic clock began anew.
    """

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "run" / "clock"
        offset_seconds = self._last_offset_seconds()
        self._offset_seconds = _offset_seconds() if offset_seconds is None else offset_seconds

    def follow(self, box: Box) -> None:
        """Move the times in the future with the wall clock, if it was set since the last call."""
        offset_seconds = _offset_seconds()
        step_seconds = offset_seconds - self._offset_seconds
        if abs(step_seconds) > SLEWED_SECONDS:
            log.warning("the clock was set", step_seconds=round(step_seconds, 1))
            move_times(box, step_seconds)
        self._offset_seconds = offset_seconds
        with suppress(OSError):  # a full disk must not stop what follows
            self._file.write_text(f"{BOOT_ID.read_text().strip()} {offset_seconds}")

    def _last_offset_seconds(self) -> float | None:
        try:
            boot_id, offset_seconds = self._file.read_text().split()
            return float(offset_seconds) if boot_id == BOOT_ID.read_text().strip() else None
        except (OSError, ValueError):
            return None


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
