"""One supervised process: started, watched, restarted after growing waits, stopped."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

import structlog

from appliance import ROOT
from appliance.supervisor import tether
from appliance.supervisor.ports import is_free

log = structlog.get_logger()

LOG_BYTES = 10 * 1024**2
LOG_FILES = 5
LONGEST_WAIT_SECONDS = 30.0
STEADY_SECONDS = 60.0  # if a process that dies ran this long, the waits begin again at their shortest


class PortTaken(Exception):
    """A process that died cannot start again: meanwhile another program listens on its loopback port."""


class Child:
    """A process that dies with this one. Its output goes to ``<name>.log``, which is rotated, or, without a
    ``log_folder``, to where this process's output goes.

    Start it only from the main thread: the kernel ties a child to the thread that made it. ``ports`` are the loopback
    ports that were chosen for it. Lines of its output that fit ``aside`` go to ``<name>-strangers.log``, so that they
    cannot push the others out.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        log_folder: Path | None = None,
        ports: tuple[int, ...] = (),
        aside: re.Pattern[bytes] | None = None,
    ) -> None:
        self.name = name
        self._aside = aside
        self._ports = ports
        self._command = [sys.executable, "-IS", tether.__file__, str(os.getpid()), *command]
        self._environment = environment
        self._log_file = log_folder / f"{name}.log" if log_folder else None
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._wait_seconds = 1.0
        self._restart_at = 0.0

    def start(self) -> None:
        """Start the process. Raises OSError or RuntimeError if the machine has no room for it."""
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=ROOT,  # no module in the caller's folder may be imported instead of the appliance's
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if self._log_file else None,
            stderr=subprocess.STDOUT if self._log_file else None,
            start_new_session=True,  # Ctrl-C reaches only the supervisor, which stops its children in order
        )
        if self._log_file:
            self._start_log(self._log_file)

    def _start_log(self, log_file: Path) -> None:
        assert self._process
        assert self._process.stdout
        try:
            threading.Thread(target=self._keep_log, args=(self._process.stdout, log_file), daemon=True).start()
        except RuntimeError:
            self._process.kill()  # if nobody reads its output, it would hang as soon as the pipe is full
            raise

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id; None if it never started."""
        return self._process.pid if self._process else None

    def restart_if_dead(self) -> None:
        """Start the process again if it died: after a second the first time, later after growing waits.

        Raises PortTaken.
        """
        if self.running or self._process is None:
            return
        now = time.monotonic()
        if not self._restart_at:
            if now - self._started_at > STEADY_SECONDS:
                self._wait_seconds = 1.0
            log.warning("process died", name=self.name, status=self._process.returncode, log=str(self._log_file))
            self._restart_at = now + self._wait_seconds
            self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
        if now >= self._restart_at:
            if taken := [port for port in self._ports if not is_free("127.0.0.1", port)]:
                raise PortTaken(f"{self.name}: another program listens on 127.0.0.1:{taken[0]}.")
            self._restart_at = 0.0
            try:
                self.start()
            except (OSError, RuntimeError) as error:  # no memory, or no room for a process or a thread
                log.error("process not started", name=self.name, error=str(error))
                self._restart_at = now + self._wait_seconds
                self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)

    def kill(self) -> None:
        """Kill the process, which hangs. ``restart_if_dead`` then starts it again."""
        if self._process is not None:
            self._process.kill()

    def stop(self, patience_seconds: float) -> None:
        """Ask the process to end, and kill it if it has not ended after ``patience_seconds``."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            log.warning("process had to be killed", name=self.name)
            self._process.kill()
            self._process.wait()

    def last_lines(self, count: int = 5) -> str:
        """Return the end of the process's log."""
        if self._log_file is None:
            return ""
        try:
            return "\n".join(self._log_file.read_text(errors="replace").splitlines()[-count:])
        except OSError:
            return ""

    def _keep_log(self, output: IO[bytes], log_file: Path) -> None:
        main, strangers = (
            RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True)
            for file in (log_file, log_file.with_stem(f"{self.name}-strangers"))
        )
        with output:
            for line in output:
                text = line.decode(errors="replace").rstrip("\n")
                handler = strangers if self._aside and self._aside.search(line) else main
                handler.emit(logging.LogRecord(self.name, logging.INFO, "", 0, text, None, None))
        main.close()
        strangers.close()
