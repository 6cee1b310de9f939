"""Delivers webhooks on threads of its own."""

from __future__ import annotations

import threading

import structlog

from appliance.errors import ApplianceError
from appliance.services.box import Box
from appliance.services.webhooks import events as webhooks
from appliance.services.work import leases
from appliance.state.work import Work

log = structlog.get_logger()

STOP_SECONDS = 2.0
SPARE_SECONDS = 60.0  # a name may take this long to resolve, beside the time that its receiver has


class Courier:
    """A few threads that claim webhooks and try them. ``stopping`` ends them after the try in progress."""

    def __init__(self, box: Box, worker_id: str, stopping: threading.Event) -> None:
        self._box = box
        self._worker_id = worker_id
        self._stopping = stopping
        # Daemons: a slow receiver must not hold up the end of the process; its webhook is tried again.
        self._threads = [
            threading.Thread(target=self._run, name=f"courier-{number}", daemon=True)
            for number in range(box.settings.webhook_threads)
        ]

    def start(self) -> None:
        """Begin to deliver."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait a little for the tries in progress."""
        for thread in self._threads:
            thread.join(STOP_SECONDS / len(self._threads))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                idle = not self._deliver_one()
            except ApplianceError as error:
                log.error("webhook left behind", code=error.code, error=str(error))
                idle = True
            except Exception as error:  # its lease runs out, and it is tried again
                log.error("webhook left behind", exc_info=error)
                idle = True
            if idle:
                self._stopping.wait(self._box.settings.poll_seconds)

    def _deliver_one(self) -> bool:
        """Try one webhook; False where none is due."""
        claimed = self._claim()
        if claimed is None:
            return False
        delivered = webhooks.deliver(self._box, claimed)
        log.info("webhook delivered" if delivered else "webhook not delivered", delivery=claimed.subject_id)
        return True

    def _claim(self) -> Work | None:
        lease_seconds = self._box.settings.webhook_timeout_seconds + SPARE_SECONDS
        return leases.claim(self._box, self._worker_id, (webhooks.KIND,), lease_seconds=lease_seconds)
