"""What callers use to decode: ``Decoder`` decodes untrusted recordings in a child process.

``parent.py`` holds the child process, ``child.py`` runs in it and ``reply.py`` reads its answers. The child is reused
for one recording after another and replaced when it has died. It gets each recording as a read-only descriptor, or
asks for ranges of it, and answers through a pipe that belongs to that request alone: closing the pipe cancels, and
audio of one recording cannot be mistaken for audio of the next.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np

from appliance import metrics
from appliance.engine.decode import wire
from appliance.engine.decode.containers import AudioInfo
from appliance.engine.decode.look import Look, Outline
from appliance.engine.decode.parent import DecodeLimits, DecoderChild
from appliance.engine.decode.peaks import EnvelopeFile
from appliance.engine.decode.remote import Ranges
from appliance.engine.decode.reply import RangeServer, Reply
from appliance.engine.decode.spectrogram import MARGIN
from appliance.errors import CorruptAudio

__all__ = ["Clip", "DecodeLimits", "DecodedAudio", "Decoder"]

CANCEL_SECONDS = 5.0  # a child that takes longer to leave a cancelled file is replaced


@dataclass(frozen=True)
class Clip:
    """A stretch of a recording at its own rate: (num_samples, num_channels) float32; shorter at the end of the file."""

    info: AudioInfo
    samples: np.ndarray


class Decoder:
    """One child process that decodes one recording at a time, for one thread at a time. It starts at the first use.

    ``niceness`` lowers the priority of the child.
    """

    def __init__(self, limits: DecodeLimits, niceness: int = 0) -> None:
        self._limits = limits
        self._niceness = niceness
        self._child: DecoderChild | None = None
        self._reply: Reply | None = None

    def decode(
        self, file: BinaryIO | int, sample_rate_hz: int, *, num_channels: int = 1, look_file: BinaryIO | None = None
    ) -> DecodedAudio:
        """Begin to decode ``file`` (an open regular file or its descriptor; its position does not matter).

        Returns as soon as the properties of the recording are known. A decode that this decoder has not finished is
        cancelled. ``num_channels`` is 1 for mono audio and 2 for left and right. With ``look_file``, an empty one, the
        audio also has a look after its last block, with this file. Raises EmptyFile, CorruptAudio, NoAudioStream,
        UnsupportedAudio, AudioTooShort or DecoderDied.
        """
        look, seconds = look_file is not None, self._limits.max_duration_seconds
        ask = wire.Ask("mixed", sample_rate_hz, num_channels, seconds, look=look)
        child, pipe_fd, _ = self._send(file, ask)
        self._reply = audio = DecodedAudio(child, pipe_fd, ask, self._limits, look_file)
        return audio

    def claimed_seconds(self, file: BinaryIO | int) -> float | None:
        """Return the duration in the recording's header, None if it has none. Only the beginning is decoded.

        Raises what ``decode`` raises.
        """
        with self._ask(file, wire.Ask("header")) as reply:
            seconds: float | None = reply.validated(wire.parse_claimed_seconds, _only(reply, wire.END))
            return seconds

    def look(self, recording: Ranges | BinaryIO | int, look_file: BinaryIO) -> Look:
        """Decode a recording to its end for its envelope, which goes into the empty file, and its seek points.

        Raises what iterating audio raises.
        """
        ask = wire.Ask("look", max_duration_seconds=self._limits.max_duration_seconds)
        with self._ask(recording, ask) as reply:
            reader = _LookReader(reply, self._limits, look_file)
            while (frame := reply.frame())[0] in (wire.TICK, wire.PIXELS):
                reader.add(frame[1])
            if frame[0] != wire.LOOK:
                raise reply.invalid("no look")
            look = reader.finish(frame[1])
            _only(reply, wire.END)
            return look

    def clip(
        self, recording: Ranges | BinaryIO | int, start_ms: int, end_ms: int, outline: Outline | None = None
    ) -> Clip:
        """Return the samples from ``start_ms`` up to ``end_ms`` as a whole decode gives them.

        Without ``outline`` all that is before is decoded too, but in WAV. Raises what ``decode`` raises.
        """
        start_sample = start_ms * outline.info.sample_rate_hz // 1000 if outline else 0
        ask = wire.Ask("clip", start_ms=start_ms, end_ms=end_ms, **_known(outline, start_sample))
        with self._ask(recording, ask) as reply:
            channels = reply.info.num_channels
            most = channels * ((end_ms - start_ms) * reply.info.sample_rate_hz // 1000 + 1)
            blocks, num_values = [np.empty(0, np.float32)], 0
            for payload in _frames(reply, wire.AUDIO):
                blocks.append(reply.validated(wire.parse_samples, payload))
                num_values += len(blocks[-1])
                if num_values > most:
                    raise reply.invalid("more audio than was requested")
            if num_values % channels:
                raise reply.invalid("a sample without all channels")
            return Clip(reply.info, np.concatenate(blocks).reshape(-1, channels))

    def tile(self, recording: Ranges | BinaryIO | int, level: int, start_sample: int, outline: Outline) -> np.ndarray:
        """Return the spectrogram tile of a level that begins at ``start_sample``: (256, 256) uint8.

        Raises what ``decode`` raises.
        """
        known = _known(outline, max(0, start_sample - MARGIN))
        ask = wire.Ask("tile", level=level, start_sample=start_sample, **known)
        with self._ask(recording, ask) as reply:
            tile: np.ndarray = reply.validated(wire.parse_tile, _only(reply, wire.TILE))
            return tile

    def close(self) -> None:
        """Cancel the current decode and end the child."""
        if self._reply:
            self._reply.close()
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

    def _ask(self, recording: Ranges | BinaryIO | int, ask: wire.Ask) -> Reply:
        child, pipe_fd, server = self._send(recording, ask)
        self._reply = Reply(child, pipe_fd, self._limits, server)
        return self._reply

    def _send(self, recording: Ranges | BinaryIO | int, ask: wire.Ask) -> tuple[DecoderChild, int, RangeServer | None]:
        if self._reply:
            self._reply.close()
        child = self._ready_child
        if isinstance(recording, int) or hasattr(recording, "fileno"):
            file_fd = _read_only(recording if isinstance(recording, int) else recording.fileno())
            try:
                return (ready := child()), ready.request(file_fd, ask, self._limits), None
            finally:
                os.close(file_fd)
        server = RangeServer(recording)
        try:
            ready = child()
            pipe_fd = ready.request(server.child_end.fileno(), ask.of_size(server.size_bytes), self._limits)
        except BaseException:
            server.close()
            raise
        server.child_end.close()
        return ready, pipe_fd, server

    def _ready_child(self) -> DecoderChild:
        if self._child and not self._child.is_ready(CANCEL_SECONDS):
            self._child.kill()
            self._child = None
        if not self._child:
            child = DecoderChild(self._limits.memory_bytes, self._niceness)
            if not child.is_ready(self._limits.stall_seconds):
                raise child.end("The decoder process did not start", self._limits)
            self._child = child
        return self._child


class DecodedAudio(Reply):
    """The blocks of one recording as they come from the child, about a second each.

    They are (num_samples,) float32, or (num_samples, 2) if two channels were requested.
    ``info`` is known from the start. After the last block ``num_source_samples`` is (at the recording's own rate), and
    ``losses``, the stretches in such samples that the stream misses, and ``look`` if one was requested. Iterating
    raises AudioTooShort (before the first block), AudioTooLong or DecoderDied; CorruptAudio if damage leaves less than
    100 ms, UnsupportedAudio if the sample rate changes on the way.
    """

    def __init__(
        self,
        child: DecoderChild,
        pipe_fd: int,
        ask: wire.Ask,
        limits: DecodeLimits,
        look_file: BinaryIO | None = None,
    ) -> None:
        self.sample_rate_hz = ask.sample_rate_hz
        self._num_channels = ask.num_channels
        self.num_source_samples = 0
        self.finished = False
        self.look: Look | None = None
        self.losses: list[tuple[int, int]] = []
        self._num_samples = 0
        super().__init__(child, pipe_fd, limits)
        self._look_reader = _LookReader(self, limits, look_file) if look_file else None

    @property
    def duration_ms(self) -> int:
        """Length of the recording in milliseconds, rounded up. Raises RuntimeError before the last block."""
        if not self.finished:
            raise RuntimeError("The duration is known after the last block.")
        return -(-1000 * self.num_source_samples // self.info.sample_rate_hz)

    def close(self) -> None:
        """Close the pipe, and note how long its audio was waited for. Idempotent."""
        if self.is_open:
            metrics.STAGE_SECONDS.labels("decode").observe(self.waited_seconds)
        super().close()

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        if not self.is_open:
            raise StopIteration
        kind, payload = self._frame_after_pixels()
        if kind == wire.AUDIO:
            return self._samples(payload)
        if kind == wire.LOST:
            self.losses = self.validated(wire.parse_losses, payload, self._largest)
            kind, payload = self._frame_after_pixels()
        if kind == wire.LOOK and self._look_reader:
            self.look = self._look_reader.finish(payload)
            kind, payload = self.frame()
        if kind != wire.END:
            raise self.invalid("a frame that was not requested")
        self.num_source_samples = self.validated(wire.parse_num_source_samples, payload, self._largest)
        self.finished = True
        self.close()
        raise StopIteration

    def _frame_after_pixels(self) -> tuple[bytes, bytearray]:
        while (frame := self.frame())[0] == wire.PIXELS and self._look_reader:
            self._look_reader.add(frame[1])
        return frame

    def _samples(self, payload: bytearray) -> np.ndarray:
        samples: np.ndarray = self.validated(wire.parse_samples, payload, self._num_channels)
        self._num_samples += len(samples)
        if self._num_samples > (self._limits.max_duration_seconds + 1) * self.sample_rate_hz:
            raise self.invalid("more audio than the longest recording has")
        return samples

    @property
    def _largest(self) -> int:
        return _largest(self._limits, self.info)


class _LookReader:
    """Reads the frames of a look. Each call raises DecoderDied if they are not those of one."""

    def __init__(self, reply: Reply, limits: DecodeLimits, file: BinaryIO) -> None:
        self._reply = reply
        self._largest = _largest(limits, reply.info)
        self._file = file
        self._envelope = EnvelopeFile(file, reply.info.num_channels)

    def add(self, payload: bytearray) -> None:
        """Take a PIXELS frame."""
        info = self._reply.info
        self._envelope.add(self._reply.validated(wire.parse_pixels, payload, self._envelope, info, self._largest))

    def finish(self, payload: bytearray) -> Look:
        """Return the look that ends with this LOOK frame and the PIECE frames after it."""
        reply, envelope = self._reply, self._envelope
        sizes = reply.validated(wire.parse_look_sizes, payload, envelope, reply.info, self._largest)
        rest = bytearray()
        while len(rest) < sizes.num_bytes:
            piece = _only(reply, wire.PIECE)
            if not piece:
                raise reply.invalid("a look that ends early")
            rest += piece
        points = reply.validated(wire.parse_points, rest, sizes)
        num_pixels, samples_per_pixel = envelope.num_pixels, envelope.samples_per_pixel
        envelope.finish(reply.info.sample_rate_hz)
        outline = Outline(reply.info, sizes.num_samples, samples_per_pixel, num_pixels, sizes.delay, points)
        return Look(outline, self._file)


def _largest(limits: DecodeLimits, info: AudioInfo) -> int:
    """Return more samples than a recording within the limits has at its own rate."""
    return int((limits.max_duration_seconds + 1) * info.sample_rate_hz)


def _known(outline: Outline | None, start_sample: int) -> dict[str, Any]:
    """Return the fields of an Ask that say what is known of a recording that is read from ``start_sample`` on."""
    if outline is None:
        return {}
    resume = outline.resume_before(start_sample)
    return {"num_samples": outline.num_samples, "resume": asdict(resume) if resume else None}


def _only(reply: Reply, expected: bytes) -> bytearray:
    kind, payload = reply.frame()
    if kind != expected:
        raise reply.invalid("a frame that was not requested")
    return payload


def _frames(reply: Reply, expected: bytes) -> Iterator[bytearray]:
    """Yield the payloads of frames of one kind, up to END."""
    while True:
        kind, payload = reply.frame()
        if kind == wire.END:
            return
        if kind != expected:
            raise reply.invalid("a frame that was not requested")
        yield payload


def _read_only(fd: int) -> int:
    """Return a descriptor of the same file that cannot write to it and has its own position."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise CorruptAudio("The recording is not a regular file.")
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    except OSError:  # the file's mode forbids opening it again
        return os.dup(fd)
