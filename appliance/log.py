"""Logs: one JSON object per line on standard error, without secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from structlog.contextvars import bound_contextvars, get_contextvars
from structlog.typing import EventDict, WrappedLogger


def configure_logging(level: str, process: str) -> None:
    """Log messages of ``level`` and above. Each line names the process."""

    def name_process(_: WrappedLogger, method: str, line: EventDict) -> EventDict:
        return {"process": process, **line}

    structlog.configure(
        processors=[
            name_process,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@contextmanager
def request_scope(request_id: str | None) -> Iterator[None]:
    """Name the request in every line that this thread logs, and in the work that it queues. None changes nothing."""
    if request_id is None:
        yield
        return
    with bound_contextvars(request_id=request_id):
        yield


@contextmanager
def actor_scope(actor: str) -> Iterator[None]:
    """Name who acts in every line that this thread logs, and in the audit log."""
    with bound_contextvars(actor=actor):
        yield


def current_request_id() -> str | None:
    """Return the id of the request for which this thread works, or None."""
    request_id: str | None = get_contextvars().get("request_id")
    return request_id
