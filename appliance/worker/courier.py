"""Delivers webhooks, on threads of their own."""

from __future__ import annotations

import threading

import structlog

from appliance.errors import ApplianceError
from appliance.log import request_scope
from appliance.metrics import BUSY_THREADS, THREADS
from appliance.services.box import Box
from appliance.services.webhooks import events as webhooks
from appliance.services.work import leases
from appliance.state.work import Work
from appliance.worker.pool import half_of

log = structlog.get_logger()

STOP_SECONDS = 2.0
MARGIN_SECONDS = 60.0  # resolving the host name may take this long, besides the time that the receiver has


class Courier:
    """A few threads that claim webhooks and try to deliver them, until ``stopping`` is set."""

    def __init__(self, box: Box, worker_id: str, stopping: threading.Event) -> None:
        self._box = box
        self._worker_id = worker_id
        self._stopping = stopping
        THREADS.labels(webhooks.WEBHOOK.pool).set(box.settings.webhook_threads)
        # Daemons: a slow receiver must not delay the end of the process; its webhook is tried again.
        self._threads = [
            threading.Thread(target=self._run, name=f"courier-{number}", daemon=True)
            for number in range(box.settings.webhook_threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait a little for the tries in progress to end."""
        for thread in self._threads:
            thread.join(STOP_SECONDS / len(self._threads))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                idle = not self._deliver_one()
            except ApplianceError as error:
                log.error(
                    "webhook not tried; it is claimed again when its lease ends", code=error.code, error=str(error)
                )
                idle = True
            except Exception as error:
                log.error("unexpected error; the webhook is claimed again when its lease ends", exc_info=error)
                idle = True
            if idle:
                self._stopping.wait(self._box.settings.poll_seconds)

    def _deliver_one(self) -> bool:
        """Try one webhook. Returns False if none is due."""
        work = self._claim()
        if work is None:
            return False
        with BUSY_THREADS.labels(webhooks.WEBHOOK.pool).track_inprogress(), request_scope(work.request_id):
            delivered = webhooks.deliver(self._box, work)
            log.info("webhook delivered" if delivered else "webhook not delivered", delivery=work.subject_id)
        return True

    def _claim(self) -> Work | None:
        settings = self._box.settings
        return leases.claim(
            self._box,
            self._worker_id,
            webhooks.WEBHOOK.pool,
            lease_seconds=settings.webhook_timeout_seconds + MARGIN_SECONDS,
            tenant_limit=half_of(settings.webhook_threads),
        )
