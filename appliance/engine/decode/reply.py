"""The answer of the decoder process to one request: its frames, with a limit on every wait.

While it waits for frames, the parent serves the ranges of the recording that the child asks for.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from appliance.engine.decode import wire
from appliance.engine.decode.containers import AudioInfo
from appliance.engine.decode.parent import DecodeLimits, DecoderChild
from appliance.engine.decode.remote import ASK, BLOCK_BYTES, Ranges
from appliance.errors import DecoderDied

T = TypeVar("T")


class RangeServer:
    """The parent's end of a recording that is read in ranges."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self.size_bytes = ranges.size_bytes
        self._socket, self.child_end = socket.socketpair()

    def fileno(self) -> int:
        """Return the descriptor on which requests arrive."""
        return self._socket.fileno()

    def serve(self, seconds: float) -> bool:
        """Answer one request. Returns False if the child is done with the recording.

        Raises BadFrame, and what reading the recording raises.
        """
        self._socket.settimeout(max(0.001, seconds))
        try:
            request = self._socket.recv(ASK.size, socket.MSG_WAITALL)
        except OSError as error:
            raise wire.BadFrame("a request for bytes that does not end") from error
        if not request:
            return False
        if len(request) < ASK.size:
            raise wire.BadFrame("a request for bytes that ends early")
        offset, num_bytes = ASK.unpack(request)
        if not 0 < num_bytes <= BLOCK_BYTES or offset + num_bytes > self.size_bytes:
            raise wire.BadFrame("a request for bytes that the recording does not have")
        try:
            self._socket.sendall(self._ranges.read(offset, num_bytes))
        except OSError as error:
            raise wire.BadFrame("no interest in the bytes it asked for") from error
        return True

    def close(self) -> None:
        """Close both ends. Idempotent."""
        self._socket.close()
        self.child_end.close()


class Reply:
    """The frames of one answer. ``info`` has the properties of the recording, which come first.

    Closing early cancels: the child notices at its next frame and leaves the recording.
    """

    def __init__(
        self, child: DecoderChild, pipe_fd: int, limits: DecodeLimits, server: RangeServer | None = None
    ) -> None:
        self._child = child
        self._pipe_fd = pipe_fd
        self._limits = limits
        self._server = server
        self.waited_seconds = 0.0
        kind, payload = self.frame()
        if kind != wire.INFO:
            raise self.invalid("the first frame is not INFO")
        self.info: AudioInfo = self.validated(wire.parse_info, payload)

    @property
    def is_open(self) -> bool:
        """Whether frames may still come."""
        return self._pipe_fd >= 0

    def frame(self) -> tuple[bytes, bytearray]:
        """Return the next frame that is not a TICK. Raises the error that it carries, or DecoderDied if none comes.

        A decoder that sends a little now and then never stalls, so the waits of all frames have a limit too.
        """
        kind = wire.TICK
        while kind == wire.TICK:
            kind, payload = self._next_frame()
        return kind, payload

    def close(self) -> None:
        """Close the pipe. Idempotent."""
        if self._pipe_fd >= 0:
            os.close(self._pipe_fd)
            self._pipe_fd = -1
        if self._server:
            self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_pipe_fd"):
            self.close()

    def validated(self, parse: Callable[..., T], *args: object) -> T:
        """Return what ``parse`` makes of a payload. Raises DecoderDied if it is impossible."""
        try:
            return parse(*args)
        except wire.BadFrame as bad:
            raise self.invalid(str(bad)) from bad

    def invalid(self, fault: str) -> DecoderDied:
        """End the child and return the error to raise."""
        self._kill_child()
        return DecoderDied(f"The decoder process sent an invalid reply ({fault}) and was stopped.")

    def _next_frame(self) -> tuple[bytes, bytearray]:
        began = time.monotonic()
        allowed = min(self._limits.stall_seconds, self._limits.wait_seconds - self.waited_seconds)
        try:
            kind, size = wire.parse_header(self._read(wire.HEADER.size, began + allowed))
            payload = self._read(size, began + allowed)
            self.waited_seconds += time.monotonic() - began
            if kind != wire.ERROR:
                return kind, payload
            error: Exception = wire.parse_error(payload)
        except wire.BadFrame as bad:
            raise self.invalid(str(bad)) from bad
        self.close()
        raise error

    def _read(self, num_bytes: int, deadline: float) -> bytearray:
        payload = bytearray(num_bytes)
        unread = memoryview(payload)
        poll = select.poll()
        poll.register(self._pipe_fd, select.POLLIN)
        if self._server:
            poll.register(self._server, select.POLLIN)
        while unread:
            ready = [fd for fd, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)]
            if not ready:
                self._kill_child()
                raise DecoderDied(f"The decoder process {self._delay()} and was stopped.")
            if self._pipe_fd not in ready and self._server:
                if not self._serve(self._server, deadline):
                    poll.unregister(self._server)
                    self._server.close()
                    self._server = None
                continue
            count = os.readv(self._pipe_fd, [unread])
            if not count:
                error = self._child.end("The decoder process ended on this file", self._limits)
                self._kill_child()
                raise error
            unread = unread[count:]
        return payload

    def _serve(self, server: RangeServer, deadline: float) -> bool:
        try:
            return server.serve(deadline - time.monotonic())
        except wire.BadFrame:
            raise
        except BaseException:  # the recording cannot be read: nothing is wrong with the child
            self.close()
            raise

    def _delay(self) -> str:
        if self._limits.wait_seconds - self.waited_seconds < self._limits.stall_seconds:
            return f"let its caller wait for {self._limits.wait_seconds:g} s in all"
        return f"sent no audio for {self._limits.stall_seconds:g} s"

    def _kill_child(self) -> None:
        self._child.kill()
        self.close()
