"""Finds processes that hang: they run, but no longer answer. Each is killed, and the supervisor starts it again.

A process that waits for itself, or that somebody stopped, never ends. A process is killed only after MISSES probes in a
row, so one slow answer does no harm, and neither does a pause of the whole machine, during which no probe is counted.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from appliance.supervisor.child import Child

log = structlog.get_logger()

MISSES = 4
FIRST_ANSWER_SECONDS = 300.0  # a process that has not answered yet may still be starting

Probe = Callable[[float], bool]  # takes the seconds that it may last, and returns whether the process answered


class HangWatch:
    """Probes one process on a thread of its own, and kills it if it does not answer for ``hang_seconds``.

    Start it when the process is ready. A process that takes its place gets FIRST_ANSWER_SECONDS to answer.
    ``answered`` is called after each probe that the process answered.
    """

    def __init__(
        self, child: Child, probe: Probe, hang_seconds: float, answered: Callable[[], None] = lambda: None
    ) -> None:
        self._child = child
        self._probe = probe
        self._answered = answered
        self._probe_seconds = hang_seconds / MISSES
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"hang-{child.name}", daemon=True)

    def start(self) -> None:
        """Begin to probe."""
        self._thread.start()

    def stop(self) -> None:
        """End. From now on nothing is killed. It need not have been started."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pid, misses, patient_until = self._child.pid, 0, 0.0
        while not self._stopping.is_set():
            started = time.monotonic()
            if self._child.pid != pid:
                pid, misses, patient_until = self._child.pid, 0, started + FIRST_ANSWER_SECONDS
            if self._probe(self._probe_seconds):
                misses, patient_until = 0, 0.0
                self._answered()
            elif time.monotonic() > patient_until:
                misses += 1
            if misses >= MISSES and self._child.running and not self._stopping.is_set():
                log.error("process hangs and is killed", name=self._child.name, pid=pid)
                self._child.kill()
                misses = 0
            self._stopping.wait(max(0.0, started + self._probe_seconds - time.monotonic()))


def answers(address: tuple[str, int] | Path, path: str) -> Probe:
    """Return a probe of the HTTP server at a host and port or at a socket: any answer at all shows that it lives."""

    def probe(seconds: float) -> bool:
        with suppress(OSError), _connected(address, seconds) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return bool(connection.recv(1))
        return False

    return probe


def accepts(address: tuple[str, int]) -> Probe:
    """Return a probe of a server that speaks no HTTP: it takes a connection."""

    def probe(seconds: float) -> bool:
        with suppress(OSError), _connected(address, seconds):
            return True
        return False

    return probe


def changes(file: Path) -> Probe:
    """Return a probe of a process that touches ``file`` again and again. What counts is change, never the clock."""
    seen: int | None = None

    def probe(seconds: float) -> bool:
        nonlocal seen
        with suppress(OSError):
            before, seen = seen, file.stat().st_mtime_ns
            return seen != before
        return False

    return probe


def _connected(address: tuple[str, int] | Path, seconds: float) -> socket.socket:
    if not isinstance(address, Path):
        return socket.create_connection(address, seconds)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(seconds)
    try:
        connection.connect(str(address))
    except OSError:
        connection.close()
        raise
    return connection
