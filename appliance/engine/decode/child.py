"""The program that runs in the decoder process: it decodes one file after another and may die without harm.

``parent.py`` starts it as ``python -m appliance.engine.decode.child SOCKET LIFELINE MEMORY_BYTES`` and ``wire.py``
defines what the two send to each other. The files are untrusted and the code that reads them is C. So the process has
no secrets in its environment, cannot outgrow its memory, dies with its parent, and confines itself before its first
file: from then on it can only read that file and write to that file's pipe (``confinement`` says by what means).
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict

from appliance.engine.confinement.confine import confine, limit_resources
from appliance.engine.decode.recording import decode_mono, open_audio
from appliance.engine.decode.wire import (
    AUDIO,
    END,
    ERROR,
    HEADER,
    HEADER_ONLY,
    INFO,
    MAX_SENTENCE,
    OUT_OF_MEMORY,
    READY,
    REQUEST,
)
from appliance.errors import AudioError, DecoderDied


def main() -> None:
    """Decode files until the parent closes the socket or dies."""
    control_fd, lifeline_fd, memory_bytes = map(int, sys.argv[1:4])
    _die_with_parent(lifeline_fd)
    limit_resources(memory_bytes)
    with socket.socket(fileno=control_fd) as control:
        confine()
        while True:
            control.send(READY)
            request, fds, _, _ = socket.recv_fds(control, REQUEST.size, 2)
            if len(request) != REQUEST.size or len(fds) != 2:
                return
            _decode_file(*fds, *REQUEST.unpack(request))


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


def _decode_file(file_fd: int, pipe_fd: int, sample_rate_hz: int, max_duration_seconds: float) -> None:
    """Decode one file into the pipe. If the parent closes its end, this file is cancelled and the next one can come."""
    try:
        with open(file_fd, "rb") as file:
            if sample_rate_hz == HEADER_ONLY:
                recording = open_audio(file)
                _write_json(pipe_fd, INFO, asdict(recording.info))
                _write_json(pipe_fd, END, {"claimed_seconds": recording.claimed_seconds})
                return
            info, audio = decode_mono(file, sample_rate_hz, max_duration_seconds)
            _write_json(pipe_fd, INFO, asdict(info))
            for block in audio:
                _write(pipe_fd, AUDIO, block.data.cast("B"))
            _write_json(pipe_fd, END, {"num_source_samples": audio.num_source_samples})
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BrokenPipeError:
        pass
    except AudioError as error:
        _report(pipe_fd, error)
    except Exception as error:
        _report(pipe_fd, DecoderDied(f"The decoder process failed on this file: {type(error).__name__}: {error}"))
    finally:
        os.close(pipe_fd)


def _report(pipe_fd: int, error: AudioError) -> None:
    with suppress(BrokenPipeError):
        _write_json(pipe_fd, ERROR, {"code": error.code, "sentence": str(error)[:MAX_SENTENCE]})


def _write_json(pipe_fd: int, kind: bytes, fields: dict[str, object]) -> None:
    _write(pipe_fd, kind, memoryview(json.dumps(fields).encode()))


def _write(pipe_fd: int, kind: bytes, payload: memoryview) -> None:
    os.write(pipe_fd, HEADER.pack(kind, len(payload)))
    while payload:
        payload = payload[os.write(pipe_fd, payload) :]


if __name__ == "__main__":
    main()
