"""What callers use to decode: ``Decoder`` decodes untrusted files in a child process and yields mono blocks.

``parent.py`` holds the child process and ``child.py`` runs in it. The child is reused for one file after another and
replaced when it has died. It gets each recording as a read-only descriptor and answers through a pipe that belongs to
that file alone: closing the pipe cancels, and audio of one file cannot be mistaken for audio of the next.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO, TypeVar

import numpy as np

from appliance import metrics
from appliance.engine.decode import wire
from appliance.engine.decode.containers import AudioInfo
from appliance.engine.decode.parent import DecodeLimits, DecoderChild
from appliance.errors import CorruptAudio, DecoderDied

__all__ = ["DecodeLimits", "DecodedAudio", "Decoder"]

T = TypeVar("T")

CANCEL_SECONDS = 5.0  # a child that takes longer to leave a cancelled file is replaced


class Decoder:
    """One child process that decodes one recording at a time, for one thread at a time. It starts at the first use."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._child: DecoderChild | None = None
        self._audio: DecodedAudio | None = None

    def decode(self, file: BinaryIO | int, sample_rate_hz: int) -> DecodedAudio:
        """Begin to decode ``file`` (an open regular file or its descriptor; its position does not matter).

        Returns as soon as the properties of the recording are known. A decode that this decoder has not finished is
        cancelled. Raises EmptyFile, CorruptAudio, NoAudioStream, UnsupportedAudio, AudioTooShort or DecoderDied.
        """
        if self._audio:
            self._audio.close()
        file_fd = _read_only(file if isinstance(file, int) else file.fileno())
        try:
            child = self._ready_child()
            pipe_fd = child.request(file_fd, sample_rate_hz, self._limits)
        finally:
            os.close(file_fd)
        self._audio = DecodedAudio(child, pipe_fd, sample_rate_hz, self._limits)
        return self._audio

    def claimed_seconds(self, file: BinaryIO | int) -> float | None:
        """Return the duration in the recording's header, None if it has none. Only the beginning is decoded.

        Raises what ``decode`` raises.
        """
        with self.decode(file, wire.HEADER_ONLY) as header:
            return header.claimed_seconds()

    def close(self) -> None:
        """Cancel the current decode and end the child."""
        if self._audio:
            self._audio.close()
        if self._child:
            self._child.kill()
            self._child = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the child, None if it is not running."""
        return self._child.process.pid if self._child and self._child.process.poll() is None else None

    def _ready_child(self) -> DecoderChild:
        if self._child and not self._child.is_ready(CANCEL_SECONDS):
            self._child.kill()
            self._child = None
        if not self._child:
            child = DecoderChild(self._limits.memory_bytes)
            if not child.is_ready(self._limits.stall_seconds):
                raise DecoderDied(f"The decoder process did not start: {child.exit_reason(self._limits)}")
            self._child = child
        return self._child


class DecodedAudio:
    """The mono blocks of one recording as they come from the child: (num_samples,) float32, about a second each.

    ``info`` is known from the start, ``num_source_samples`` (at the recording's own rate) after the last block.
    Iterating raises AudioTooShort (before the first block), AudioTooLong or DecoderDied; CorruptAudio if damage leaves
    less than 100 ms, UnsupportedAudio if the sample rate changes on the way. Closing early cancels.
    """

    def __init__(self, child: DecoderChild, pipe_fd: int, sample_rate_hz: int, limits: DecodeLimits) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.num_source_samples = 0
        self.finished = False
        self._child = child
        self._pipe_fd = pipe_fd
        self._limits = limits
        self._num_samples = 0
        self._waited_seconds = 0.0
        kind, payload = self._frame()
        if kind != wire.INFO:
            raise self._invalid_reply("the first frame is not INFO")
        self.info: AudioInfo = self._validated(wire.parse_info, payload)

    @property
    def duration_ms(self) -> int:
        """Length of the recording in milliseconds, rounded up. Raises RuntimeError before the last block."""
        if not self.finished:
            raise RuntimeError("The duration is known after the last block.")
        return -(-1000 * self.num_source_samples // self.info.sample_rate_hz)

    def claimed_seconds(self) -> float | None:
        """Return the duration in the header, None if it has none. Only for a decode at the rate HEADER_ONLY."""
        kind, payload = self._frame()
        if kind != wire.END:
            raise self._invalid_reply("audio that was not requested")
        seconds: float | None = self._validated(wire.parse_claimed_seconds, payload)
        return seconds

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        if self._pipe_fd < 0:
            raise StopIteration
        kind, payload = self._frame()
        longest = self._limits.max_duration_seconds + 1
        if kind == wire.AUDIO:
            samples: np.ndarray = self._validated(wire.parse_samples, payload)
            self._num_samples += len(samples)
            if self._num_samples > longest * self.sample_rate_hz:
                raise self._invalid_reply("more audio than the longest recording has")
            return samples
        if kind != wire.END:
            raise self._invalid_reply("two INFO frames")
        largest = int(longest * self.info.sample_rate_hz)
        self.num_source_samples = self._validated(wire.parse_num_source_samples, payload, largest)
        self.finished = True
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Close the pipe; the child notices at its next block and leaves the file. Idempotent."""
        if self._pipe_fd >= 0:
            os.close(self._pipe_fd)
            self._pipe_fd = -1
            if self.sample_rate_hz != wire.HEADER_ONLY:
                metrics.STAGE_SECONDS.labels("decode").observe(self._waited_seconds)

    def __enter__(self) -> DecodedAudio:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_pipe_fd"):
            self.close()

    def _frame(self) -> tuple[bytes, bytearray]:
        """Return the next frame. Raises the error that it carries, or DecoderDied if no frame comes in time.

        A decoder that sends a little now and then never stalls, so the waits of all frames have a limit too.
        """
        began = time.monotonic()
        allowed = min(self._limits.stall_seconds, self._limits.wait_seconds - self._waited_seconds)
        try:
            kind, size = wire.parse_header(self._read(wire.HEADER.size, began + allowed))
            payload = self._read(size, began + allowed)
            self._waited_seconds += time.monotonic() - began
            if kind != wire.ERROR:
                return kind, payload
            error: Exception = wire.parse_error(payload)
        except wire.BadFrame as bad:
            raise self._invalid_reply(str(bad)) from bad
        self.close()
        raise error

    def _read(self, num_bytes: int, deadline: float) -> bytearray:
        payload = bytearray(num_bytes)
        unread = memoryview(payload)
        poll = select.poll()
        poll.register(self._pipe_fd, select.POLLIN)
        while unread:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                self._kill_child()
                raise DecoderDied(f"The decoder process {self._delay()} and was stopped.")
            count = os.readv(self._pipe_fd, [unread])
            if not count:
                reason = self._child.exit_reason(self._limits)
                self._kill_child()
                raise DecoderDied(f"The decoder process ended on this file: {reason}")
            unread = unread[count:]
        return payload

    def _delay(self) -> str:
        if self._limits.wait_seconds - self._waited_seconds < self._limits.stall_seconds:
            return f"let its caller wait for {self._limits.wait_seconds:g} s in all"
        return f"sent no audio for {self._limits.stall_seconds:g} s"

    def _validated(self, parse: Callable[..., T], *args: object) -> T:
        try:
            return parse(*args)
        except wire.BadFrame as bad:
            raise self._invalid_reply(str(bad)) from bad

    def _invalid_reply(self, fault: str) -> DecoderDied:
        self._kill_child()
        return DecoderDied(f"The decoder process sent an invalid reply ({fault}) and was stopped.")

    def _kill_child(self) -> None:
        self._child.kill()
        self.close()


def _read_only(fd: int) -> int:
    """Return a descriptor of the same file that cannot write to it and has its own position."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise CorruptAudio("The recording is not a regular file.")
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    except OSError:  # the file's mode forbids opening it again
        return os.dup(fd)
