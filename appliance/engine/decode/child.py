"""The program that runs in the decoder process: it decodes one file after another and may die without harm.

``parent.py`` starts it as ``python -m appliance.engine.decode.child SOCKET LIFELINE MEMORY_BYTES`` and ``wire.py``
defines what the two send to each other. The files are untrusted and the code that reads them is C. So the process has
no secrets in its environment, cannot outgrow its memory, dies with its parent, and confines itself before its first
file: from then on it can only read that file and write to that file's pipe (``confinement`` says by what means).
"""

from __future__ import annotations

import fcntl
import gc
import io
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import BinaryIO, cast

import numpy as np

from appliance.engine.confinement.confine import confine, limit_resources
from appliance.engine.decode import spectrogram, wire
from appliance.engine.decode.peaks import PeakMaker, with_channels
from appliance.engine.decode.recording import decode_mixed, open_audio, read_between
from appliance.engine.decode.remote import BLOCK_BYTES, RemoteFile
from appliance.engine.decode.seek_points import Resume, SeekPoints
from appliance.engine.decode.wire import (
    AUDIO,
    END,
    ERROR,
    HEADER,
    INFO,
    LOOK,
    LOST,
    PIECE,
    PIXELS,
    READY,
    TICK,
    TILE,
    Ask,
)
from appliance.errors import AudioError, DecoderDied


def main() -> None:
    """Decode files until the parent closes the socket or dies."""
    control_fd, lifeline_fd, memory_bytes = map(int, sys.argv[1:4])
    _die_with_parent(lifeline_fd)
    limit_resources(memory_bytes)
    with socket.socket(fileno=control_fd) as control:
        confine()
        gc.freeze()
        while True:
            control.send(READY)
            message, fds, _, _ = socket.recv_fds(control, wire.MAX_ASK_BYTES, 2)
            if not message or len(fds) != 2:
                return
            file_fd, pipe_fd = fds
            _decode_file(file_fd, pipe_fd, Ask.from_bytes(message))
            # PyAV's containers are in cycles. That of a long MP4 holds 25 MB in too few objects for Python to look.
            gc.collect()


def _die_with_parent(lifeline_fd: int) -> None:
    """Ask the kernel to end this process when the parent's end of the lifeline closes, however the parent died.

    A death signal set by prctl would come when the thread that spawned this process ends, which may be any worker
    thread. A thread that watches the pipe would wait for the interpreter lock while C code hangs. An unhandled SIGIO
    has neither problem.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, fcntl.fcntl(lifeline_fd, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(lifeline_fd, select.POLLIN)
    if poll.poll(0):  # the parent died before O_ASYNC was set
        os._exit(1)


def _decode_file(file_fd: int, pipe_fd: int, ask: Ask) -> None:
    """Answer one request. If the parent closes its end, the recording is cancelled and the next one can come."""
    try:
        with _opened(file_fd, ask) as file:
            _ANSWERS[ask.kind](file, pipe_fd, ask)
    except MemoryError:
        os._exit(wire.OUT_OF_MEMORY)
    except BrokenPipeError:
        pass
    except AudioError as error:
        _report(pipe_fd, error)
    except Exception as error:
        _report(pipe_fd, DecoderDied(f"The decoder process failed on this file: {type(error).__name__}: {error}"))
    finally:
        os.close(pipe_fd)


@contextmanager
def _opened(file_fd: int, ask: Ask) -> Iterator[BinaryIO]:
    if ask.size_bytes is None:
        with open(file_fd, "rb") as file:
            yield file
        return
    try:
        yield cast(BinaryIO, io.BufferedReader(RemoteFile(file_fd, ask.size_bytes), BLOCK_BYTES))
    finally:
        os.close(file_fd)


def _header(file: BinaryIO, pipe_fd: int, ask: Ask) -> None:
    recording = open_audio(file)
    _write_json(pipe_fd, INFO, asdict(recording.info))
    _write_json(pipe_fd, END, {"claimed_seconds": recording.claimed_seconds})


def _mixed(file: BinaryIO, pipe_fd: int, ask: Ask) -> None:
    """Send mixed audio and what is lost, and the look if it is wanted. For a look alone send signs of life instead."""
    looker = _Looker() if ask.look or ask.kind == "look" else None
    info, audio = decode_mixed(file, ask.sample_rate_hz, ask.max_duration_seconds, looker, ask.num_channels)
    _write_json(pipe_fd, INFO, asdict(info))
    for block in audio:
        if ask.kind == "look":
            _write(pipe_fd, TICK, memoryview(b""))
        else:
            _write(pipe_fd, AUDIO, np.ascontiguousarray(block).data.cast("B"))
        if looker:
            _send_pieces(pipe_fd, PIXELS, looker.take())
    if audio.losses and ask.kind == "mixed":
        _write(pipe_fd, LOST, memoryview(np.array(audio.losses, "<i8").tobytes()))
    if looker:
        _send_look(pipe_fd, looker)
    _write_json(pipe_fd, END, {"num_source_samples": audio.num_source_samples})


def _send_look(pipe_fd: int, looker: _Looker) -> None:
    assert looker.peaks
    looker.peaks.finish()
    _send_pieces(pipe_fd, PIXELS, looker.take())
    points = looker.points.table()
    sizes = {"num_samples": looker.peaks.num_samples, "delay": looker.points.delay, "num_points": len(points)}
    _write_json(pipe_fd, LOOK, sizes)
    _send_pieces(pipe_fd, PIECE, points.tobytes())


def _send_pieces(pipe_fd: int, kind: bytes, content: bytes | bytearray) -> None:
    rest = memoryview(content)
    while rest:
        _write(pipe_fd, kind, rest[: wire.PIECE_BYTES])
        rest = rest[wire.PIECE_BYTES :]


def _clip(file: BinaryIO, pipe_fd: int, ask: Ask) -> None:
    info = open_audio(file).info
    _write_json(pipe_fd, INFO, asdict(info))
    start, end = (ms * info.sample_rate_hz // 1000 for ms in (ask.start_ms, ask.end_ms))
    for block in read_between(file, start, _within(end, ask), _resume_of(ask)):
        finite = np.nan_to_num(with_channels(block, info.num_channels), posinf=0.0, neginf=0.0)
        _write(pipe_fd, AUDIO, np.ascontiguousarray(finite).data.cast("B"))
    _write_json(pipe_fd, END, {})


def _tile(file: BinaryIO, pipe_fd: int, ask: Ask) -> None:
    info = open_audio(file).info
    _write_json(pipe_fd, INFO, asdict(info))
    maker = spectrogram.TileMaker(info.sample_rate_hz, ask.level)
    start = ask.start_sample - spectrogram.MARGIN
    end = ask.start_sample + spectrogram.WIDTH * spectrogram.samples_per_column(ask.level) + spectrogram.MARGIN
    if start < 0:
        maker.add(np.zeros((-start, info.num_channels), np.float32))
    for block in read_between(file, max(0, start), _within(end, ask), _resume_of(ask)):
        maker.add(with_channels(block, info.num_channels))
        _write(pipe_fd, TICK, memoryview(b""))
    _write(pipe_fd, TILE, memoryview(maker.finish().tobytes()))


_ANSWERS: dict[str, Callable[[BinaryIO, int, Ask], None]] = {
    "header": _header,
    "mixed": _mixed,
    "look": _mixed,
    "clip": _clip,
    "tile": _tile,
}


class _Looker:
    """Collects the envelope and the seek points while a recording is decoded."""

    def __init__(self) -> None:
        self.points = SeekPoints()
        self.peaks: PeakMaker | None = None

    def add(self, block: np.ndarray) -> None:
        """Take (num_samples, num_channels) float32."""
        self.peaks = self.peaks or PeakMaker(block.shape[1])
        self.peaks.add(block)

    def take(self) -> bytearray:
        """Return the pixels that were not sent yet."""
        return self.peaks.take() if self.peaks else bytearray()


def _within(end: int, ask: Ask) -> int:
    return end if ask.num_samples is None else min(end, ask.num_samples)


def _resume_of(ask: Ask) -> Resume | None:
    return Resume(**ask.resume) if ask.resume else None


def _report(pipe_fd: int, error: AudioError) -> None:
    with suppress(BrokenPipeError):
        _write_json(pipe_fd, ERROR, {"code": error.code, "sentence": str(error)[: wire.MAX_SENTENCE]})


def _write_json(pipe_fd: int, kind: bytes, fields: Mapping[str, object]) -> None:
    _write(pipe_fd, kind, memoryview(json.dumps(fields).encode()))


def _write(pipe_fd: int, kind: bytes, payload: memoryview) -> None:
    os.write(pipe_fd, HEADER.pack(kind, len(payload)))
    while payload:
        payload = payload[os.write(pipe_fd, payload) :]


if __name__ == "__main__":
    main()
