"""Chores of each day. The database knows when each last ended, so a restart of the worker skips and repeats none."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from appliance.errors import DatabaseDamaged
from appliance.services.box import Box
from appliance.services.datasets.work import enqueue_unheard
from appliance.services.work.reconcile import reconcile
from appliance.state import chores

log = structlog.get_logger()

DAY_SECONDS = 86_400.0


def run_due(box: Box, stopping: threading.Event) -> None:
    """Run the chores whose last run ended more than a day ago, or in the future of a clock that was set back."""
    for name, chore in CHORES.items():
        last = chores.last(box.db, name)
        if last is not None and 0.0 <= last.seconds_ago < DAY_SECONDS:
            continue
        fault = chore(box, stopping)
        if stopping.is_set():
            return
        if fault:
            log.error("a daily check failed", check=name, fault=fault)
        with box.db.transaction() as tx:
            chores.note(tx, name, fault)


def _check_database(box: Box, _: threading.Event) -> str | None:
    try:
        box.db.check()
    except DatabaseDamaged as error:
        return str(error)
    return None


CHORES: dict[str, Callable[[Box, threading.Event], str | None]] = {
    "database check": _check_database,
    "bucket check": reconcile,
    "unheard audio": enqueue_unheard,
}
