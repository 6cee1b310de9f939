"""A decoder process as its parent holds it: started, limited, asked for a file, and ended."""

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

from appliance.config import ROOT, Settings
from appliance.engine.decode import wire

EXIT_SECONDS = 2.0
PIPE_BYTES = 256 * 1024


@dataclass(frozen=True)
class DecodeLimits:
    """What one recording may cost its decoder."""

    memory_bytes: int = 512 * 1024**2  # address space
    cpu_seconds: int = 1800
    stall_seconds: float = 60.0  # longest wait for the next block
    max_duration_seconds: float = 12 * 3600.0  # decoded length

    @classmethod
    def from_settings(cls, settings: Settings) -> DecodeLimits:
        """The limits that the appliance's settings name."""
        return cls(
            memory_bytes=settings.decoder_memory_bytes,
            cpu_seconds=settings.decoder_cpu_seconds,
            stall_seconds=settings.decoder_stall_seconds,
            max_duration_seconds=settings.max_duration_seconds,
        )


class DecoderChild:
    """A decoder process, the socket that leads to it, and the pipe whose closing ends it."""

    def __init__(self, memory_bytes: int) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lifeline, self._lifeline = os.pipe()
        command = [sys.executable, "-s", "-m", "appliance.engine.decode.child"]
        command += [str(theirs.fileno()), str(lifeline), str(memory_bytes)]
        try:
            self.process = subprocess.Popen(
                command,
                pass_fds=(theirs.fileno(), lifeline),
                env=_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        finally:
            theirs.close()
            os.close(lifeline)

    def is_ready(self, seconds: float) -> bool:
        """Whether the child says within ``seconds`` that it can take a file."""
        if self.process.poll() is not None:  # what it said before it died could still be read
            return False
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        try:
            return bool(poll.poll(seconds * 1000)) and self._control.recv(len(wire.READY)) == wire.READY
        except OSError:
            return False

    def request(self, file_fd: int, sample_rate_hz: int, limits: DecodeLimits) -> int:
        """Send a file; return the descriptor that its audio comes from."""
        ours, theirs = os.pipe()
        try:
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            self._limit_cpu(limits.cpu_seconds)
            request = wire.REQUEST.pack(sample_rate_hz, limits.max_duration_seconds)
            socket.send_fds(self._control, [request], [file_fd, theirs])
        except (OSError, ValueError):
            # A child that died just now: nobody holds the pipe's other end, which the first read will see.
            pass
        finally:
            os.close(theirs)
        return ours

    def _limit_cpu(self, cpu_seconds: int) -> None:
        """Allow this many seconds from now on. The kernel counts from the child's start, so what it used is added."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        used_seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        soft = math.ceil(used_seconds) + cpu_seconds
        resource.prlimit(self.process.pid, resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))

    def last_words(self, limits: DecodeLimits) -> str:
        """Why the child ended, as a sentence; ends it where it still runs."""
        try:
            status = self.process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it stopped answering."
        if status == wire.OUT_OF_MEMORY:
            return f"it needed more than {limits.memory_bytes // 1024**2} MiB of memory."
        if status == -signal.SIGXCPU:
            return f"it needed more than {limits.cpu_seconds} s of CPU time."
        if status < 0:
            return f"it crashed or was killed ({signal.Signals(-status).name})."
        return f"it ended with status {status}."

    def kill(self) -> None:
        """End the process and let go of what led to it. Idempotent."""
        self.process.kill()
        self.process.wait()
        self._control.close()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def _environment() -> dict[str, str]:
    """No secrets, and one thread: a BLAS that starts more reserves address space that the limit counts."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TZ") if name in os.environ}
    return kept | {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
