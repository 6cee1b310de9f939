"""The parent's handle of the decoder process: it starts the process, limits it, sends it files, and ends it.

``child.py`` is the program that runs in the process; ``decoder.py`` is what callers use.
"""

from __future__ import annotations

import fcntl
import math
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from appliance.config import Settings
from appliance.engine.confinement.confine import environment
from appliance.engine.decode import wire
from appliance.errors import DecoderDied, DecoderKilled

PROGRAM = ("-m", "appliance.engine.decode.child")
EXIT_SECONDS = 10.0
PIPE_BYTES = 256 * 1024


@dataclass(frozen=True)
class DecodeLimits:
    """What the decoder process may spend on one recording."""

    memory_bytes: int = 512 * 1024**2  # address space of the process
    cpu_seconds: int = 1800  # CPU time for each recording
    stall_seconds: float = 60.0  # longest wait for the next block
    max_duration_seconds: float = 12 * 3600.0  # decoded length

    @property
    def wait_seconds(self) -> float:
        """Longest time that a recording's audio is waited for in all: on a busy machine CPU time takes longer."""
        return 2.0 * self.cpu_seconds

    @classmethod
    def from_settings(cls, settings: Settings) -> DecodeLimits:
        """Return the limits in the appliance's settings."""
        return cls(
            memory_bytes=settings.decoder_memory_bytes,
            cpu_seconds=settings.decoder_cpu_seconds,
            stall_seconds=settings.decoder_stall_seconds,
            max_duration_seconds=settings.max_duration_seconds,
        )


class DecoderChild:
    """A running decoder process, the socket to it, and the lifeline: a pipe that ends the process when it closes."""

    def __init__(self, memory_bytes: int, niceness: int = 0) -> None:
        self._control, child_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child_lifeline, self._lifeline = os.pipe()
        command = [sys.executable, "-s", *PROGRAM]
        command += [str(child_control.fileno()), str(child_lifeline), str(memory_bytes)]
        try:
            self.process = subprocess.Popen(
                command,
                pass_fds=(child_control.fileno(), child_lifeline),
                env=environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        finally:
            child_control.close()
            os.close(child_lifeline)
        if niceness:
            os.setpriority(os.PRIO_PROCESS, self.process.pid, niceness)

    def is_ready(self, seconds: float) -> bool:
        """Return whether the child sends within ``seconds`` that it can take a file."""
        if self.process.poll() is not None:  # the READY that it sent before it died could still be read
            return False
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        try:
            return bool(poll.poll(seconds * 1000)) and self._control.recv(len(wire.READY)) == wire.READY
        except OSError:
            return False

    def request(self, file_fd: int, ask: wire.Ask, limits: DecodeLimits) -> int:
        """Send a recording and return the descriptor of the pipe that its frames come from.

        Raises nothing if the child has died: the first read from the pipe finds its other end closed.
        """
        read_fd, write_fd = os.pipe()
        try:
            fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            self._limit_cpu(limits.cpu_seconds)
            socket.send_fds(self._control, [ask.to_bytes()], [file_fd, write_fd])
        except (OSError, ValueError):
            pass  # the child died just now
        finally:
            os.close(write_fd)
        return read_fd

    def _limit_cpu(self, cpu_seconds: int) -> None:
        """Allow this much CPU time from now on. The kernel counts from the child's start, so add what it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        used_seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        soft = math.ceil(used_seconds) + cpu_seconds
        resource.prlimit(self.process.pid, resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))

    def end(self, beginning: str, limits: DecodeLimits) -> DecoderDied:
        """Return the error of a child that ended; ends it if it still runs. ``beginning`` stands before the reason."""
        try:
            status = self.process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return DecoderDied(f"{beginning}: it stopped answering.")
        if status == -signal.SIGKILL:
            return DecoderKilled(f"{beginning}: it was killed from outside (SIGKILL).")
        return DecoderDied(f"{beginning}: {_reason(status, limits)}.")

    def kill(self) -> None:
        """End the process and close the descriptors that lead to it. Idempotent."""
        self.process.kill()
        self.process.wait()
        self._control.close()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def _reason(status: int, limits: DecodeLimits) -> str:
    if status == wire.OUT_OF_MEMORY:
        return f"it needed more than {limits.memory_bytes // 1024**2} MiB of memory"
    if status == -signal.SIGXCPU:
        return f"it needed more than {limits.cpu_seconds} s of CPU time"
    if status < 0:
        return f"it crashed ({signal.Signals(-status).name})"
    return f"it ended with status {status}"
