"""The parent side of decoding: a child process that reads a stranger's bytes, and what it may cost.

A child is reused file after file and replaced when it died. It gets each recording as a read-only descriptor and
answers through a pipe of its own for that file: closing the pipe cancels, and nothing of one file can be taken for
the next.
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

from appliance.engine.decode import wire
from appliance.engine.decode.containers import AudioInfo
from appliance.engine.decode.parent import DecodeLimits, DecoderChild
from appliance.errors import CorruptAudio, DecoderDied

__all__ = ["DecodeLimits", "DecodedAudio", "Decoder"]

T = TypeVar("T")

CANCEL_SECONDS = 5.0  # how long a child may take to leave a cancelled file before it is replaced


class Decoder:
    """One child process that decodes one recording at a time; used by one thread at a time. Starts when first used."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._child: DecoderChild | None = None
        self._audio: DecodedAudio | None = None

    def decode(self, file: BinaryIO | int, sample_rate_hz: int) -> DecodedAudio:
        """Begin to decode ``file`` (an open regular file or its descriptor; its position does not matter).

        Returns when the recording is known to be one. A decode still under way in this decoder is cancelled.
        Raises EmptyFile, CorruptAudio, NoAudioStream, UnsupportedAudio, AudioTooShort or DecoderDied.
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
        """How long a recording says it is, None where it does not; only its beginning is decoded.

        Raises what ``decode`` raises.
        """
        with self.decode(file, wire.HEADER_ONLY) as header:
            return header.claimed_seconds()

    def close(self) -> None:
        """Cancel what is under way and end the child."""
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
        """Process id of the child, None where none runs."""
        return self._child.process.pid if self._child and self._child.process.poll() is None else None

    def _ready_child(self) -> DecoderChild:
        if self._child and not self._child.is_ready(CANCEL_SECONDS):
            self._child.kill()
            self._child = None
        if not self._child:
            child = DecoderChild(self._limits.memory_bytes)
            if not child.is_ready(self._limits.stall_seconds):
                raise DecoderDied(f"The decoder process did not start: {child.last_words(self._limits)}")
            self._child = child
        return self._child


class DecodedAudio:
    """Mono blocks of one recording, as they come from the child: (num_samples,) float32, about a second each.

    ``info`` is known from the start, ``num_source_samples`` (at the recording's own rate) after the last block.
    Iterating raises AudioTooShort (before the first block), AudioTooLong or DecoderDied. Closing early cancels.
    """

    def __init__(self, child: DecoderChild, pipe_fd: int, sample_rate_hz: int, limits: DecodeLimits) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.num_source_samples = 0
        self.finished = False
        self._child = child
        self._pipe_fd = pipe_fd
        self._limits = limits
        self._num_samples = 0
        kind, payload = self._frame()
        if kind != wire.INFO:
            raise self._broken("no information first")
        self.info: AudioInfo = self._believed(wire.info_of, payload)

    @property
    def duration_ms(self) -> int:
        """Length of the recording in milliseconds, rounded up. RuntimeError before the last block."""
        if not self.finished:
            raise RuntimeError("The duration is known after the last block.")
        return -(-1000 * self.num_source_samples // self.info.sample_rate_hz)

    def claimed_seconds(self) -> float | None:
        """What the header says of the length; for a decode that was asked for the header only."""
        kind, payload = self._frame()
        if kind != wire.END:
            raise self._broken("audio that was not asked for")
        claimed: float | None = self._believed(wire.claimed_seconds_of, payload)
        return claimed

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        if self._pipe_fd < 0:
            raise StopIteration
        kind, payload = self._frame()
        longest = self._limits.max_duration_seconds + 1
        if kind == wire.AUDIO:
            samples: np.ndarray = self._believed(wire.samples_of, payload)
            self._num_samples += len(samples)
            if self._num_samples > longest * self.sample_rate_hz:
                raise self._broken("more samples than were asked for")
            return samples
        if kind != wire.END:
            raise self._broken("information twice")
        largest = int(longest * self.info.sample_rate_hz)
        self.num_source_samples = self._believed(wire.num_source_samples_of, payload, largest)
        self.finished = True
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Stop listening; the child sees it at its next block and leaves the file. Idempotent."""
        if self._pipe_fd >= 0:
            os.close(self._pipe_fd)
            self._pipe_fd = -1

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
        """The next frame; raises the error that it carries, or DecoderDied where none comes in time."""
        deadline = time.monotonic() + self._limits.stall_seconds
        try:
            kind, size = wire.frame_size(self._read(wire.HEADER.size, deadline))
            payload = self._read(size, deadline)
            if kind != wire.ERROR:
                return kind, payload
            error: Exception = wire.error_of(payload)
        except wire.BadFrame as bad:
            raise self._broken(str(bad)) from bad
        self.close()
        raise error

    def _read(self, num_bytes: int, deadline: float) -> bytearray:
        payload = bytearray(num_bytes)
        unread = memoryview(payload)
        poll = select.poll()
        poll.register(self._pipe_fd, select.POLLIN)
        while unread:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                self._end()
                raise DecoderDied(f"The decoder gave no audio for {self._limits.stall_seconds:g} s and was stopped.")
            count = os.readv(self._pipe_fd, [unread])
            if not count:
                reason = self._child.last_words(self._limits)
                self._end()
                raise DecoderDied(f"The decoder broke on this file: {reason}")
            unread = unread[count:]
        return payload

    def _believed(self, check: Callable[..., T], *args: object) -> T:
        try:
            return check(*args)
        except wire.BadFrame as bad:
            raise self._broken(str(bad)) from bad

    def _broken(self, what: str) -> DecoderDied:
        self._end()
        return DecoderDied(f"The decoder answered with what is no audio ({what}) and was stopped.")

    def _end(self) -> None:
        self._child.kill()
        self.close()


def _read_only(fd: int) -> int:
    """A descriptor of the same file that cannot write to it and has a position of its own."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise CorruptAudio("This is not a regular file.")
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    except OSError:  # the file's mode forbids it to be opened again
        return os.dup(fd)
