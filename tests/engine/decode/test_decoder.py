"""A decoder process may die in any way: each death fails one file, and the next file decodes."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.decode import parent, wire
from appliance.engine.decode.decoder import DecodedAudio, DecodeLimits, Decoder
from appliance.engine.decode.parent import DecoderChild
from appliance.errors import (
    AudioError,
    AudioTooLong,
    AudioTooShort,
    CorruptAudio,
    DecoderDied,
    DecoderKilled,
    EmptyFile,
)
from tests.support.appliances import PATIENCE_SECONDS, wait_for
from tests.support.encoded_files import clicks, noise, silent_flac, wav

pytestmark = pytest.mark.slow  # most tests start a decoder process or kill one
Recording = Callable[..., Path]
GOOD = wav(clicks(44_100, 3.3, [1.5], 2), 44_100)


@pytest.fixture(scope="module")
def two_hours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of stereo silence."""
    return silent_flac(tmp_path_factory.mktemp("long") / "two-hours", 7_200)


@pytest.fixture(scope="module")
def ten_minutes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of stereo silence."""
    return silent_flac(tmp_path_factory.mktemp("long") / "ten-minutes", 600)


def decode(decoder: Decoder, path: Path, rate_hz: int = 16_000) -> tuple[np.ndarray, DecodedAudio]:
    with path.open("rb") as file, decoder.decode(file, rate_hz) as audio:
        return np.concatenate(list(audio)), audio


def assert_works(decoder: Decoder, path: Path) -> None:
    samples, audio = decode(decoder, path)
    assert len(samples) == pytest.approx(3.3 * 16_000, abs=1)
    assert audio.duration_ms == 3_300


def memory_bytes(pid: int | str, field: str) -> int:
    """Return a figure of /proc/PID/status: VmHWM is the peak resident memory, VmSize the address space."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def dies(pid: int, seconds: float = PATIENCE_SECONDS) -> bool:
    """Return whether the process ends within the time (a zombie has ended)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_audio_crosses_the_pipe_unchanged(decoder: Decoder, recording: Recording) -> None:
    samples, audio = decode(decoder, recording(GOOD))
    assert samples.dtype == np.float32
    assert np.argmax(np.abs(samples)) / 16_000 == pytest.approx(1.5, abs=0.001)
    assert (audio.info.container, audio.info.sample_rate_hz, audio.info.num_channels) == ("wav", 44_100, 2)
    assert (audio.num_source_samples, audio.duration_ms, audio.finished) == (145_530, 3_300, True)


def test_a_descriptor_is_accepted_and_its_position_stays(decoder: Decoder, recording: Recording) -> None:
    with recording(GOOD).open("rb") as file:
        file.seek(1_000)
        assert sum(map(len, decoder.decode(file.fileno(), 16_000))) == pytest.approx(3.3 * 16_000, abs=1)
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) in (1_000, os.fstat(file.fileno()).st_size)


def test_an_unlinked_file_is_accepted(decoder: Decoder, recording: Recording) -> None:
    path = recording(GOOD)
    with path.open("rb") as file:
        path.unlink()
        assert sum(map(len, decoder.decode(file, 16_000))) == pytest.approx(3.3 * 16_000, abs=1)


def test_errors_cross_the_pipe_and_the_child_goes_on(decoder: Decoder, recording: Recording) -> None:
    assert_works(decoder, recording(GOOD))
    pid = decoder.pid
    for content, error in (
        (b"", EmptyFile),
        (b"no audio" * 100, CorruptAudio),
        (wav(noise(16_000, 0.05), 16_000), AudioTooShort),
    ):
        with pytest.raises(error):
            decode(decoder, recording(content))
    assert_works(decoder, recording(GOOD))
    assert decoder.pid == pid


def test_a_pipe_or_a_folder_is_rejected(decoder: Decoder, tmp_path: Path) -> None:
    readable, writable = os.pipe()
    folder = os.open(tmp_path, os.O_RDONLY)
    for fd in (readable, folder):
        with pytest.raises(CorruptAudio, match="regular file"):
            decoder.decode(fd, 16_000)
    for fd in (readable, writable, folder):
        os.close(fd)


def test_closing_early_cancels_and_the_same_child_decodes_the_next_file(
    ten_minutes: Path, recording: Recording
) -> None:
    short = recording(GOOD)
    with Decoder(DecodeLimits()) as decoder, ten_minutes.open("rb") as file:
        for _ in range(5):
            with decoder.decode(file, 16_000) as audio:
                next(audio)
            assert not audio.finished
            with pytest.raises(RuntimeError):
                _ = audio.duration_ms
            pid = decoder.pid
            assert_works(decoder, short)
            assert decoder.pid == pid
        decoder.decode(file, 16_000)  # never read, never closed
        assert_works(decoder, short)
        assert decoder.pid == pid


def test_the_child_waits_for_a_slow_reader(ten_minutes: Path, recording: Recording) -> None:
    with Decoder(DecodeLimits()) as decoder, ten_minutes.open("rb") as file:
        assert_works(decoder, recording(GOOD))  # its start costs CPU time too
        assert decoder.pid
        before = cpu_seconds(decoder.pid)
        audio = decoder.decode(file, 16_000)
        next(audio)
        used = -1.0
        while used != cpu_seconds(decoder.pid):  # until it has filled the pipe
            used = cpu_seconds(decoder.pid)
            time.sleep(0.2)
        assert sum(map(len, audio)) > 590 * 16_000
        assert used - before < (cpu_seconds(decoder.pid) - before) / 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_killed_child_fails_only_the_current_file(
    ten_minutes: Path, recording: Recording, number: signal.Signals
) -> None:
    with Decoder(DecodeLimits()) as decoder, ten_minutes.open("rb") as file:
        audio = decoder.decode(file, 16_000)
        next(audio)
        assert decoder.pid
        os.kill(decoder.pid, number)
        with pytest.raises(DecoderDied, match=number.name) as raised:
            list(audio)
        assert isinstance(raised.value, DecoderKilled) == (number == signal.SIGKILL)
        assert_works(decoder, recording(GOOD))


def test_a_child_killed_between_files_fails_no_file(recording: Recording) -> None:
    with Decoder(DecodeLimits()) as decoder:
        for _ in range(3):
            assert_works(decoder, recording(GOOD))
            pid = decoder.pid
            assert pid
            os.kill(pid, signal.SIGKILL)
            assert dies(pid)


def test_a_file_that_needs_too_much_memory_fails(recording: Recording) -> None:
    with Decoder(DecodeLimits()) as decoder:
        assert_works(decoder, recording(GOOD))
        assert decoder.pid
        size = memory_bytes(decoder.pid, "VmSize")
    wide = wav(noise(192_000, 3, 8), 192_000, "FLOAT")
    with Decoder(DecodeLimits(memory_bytes=size + 4 * 1024**2)) as decoder:
        with pytest.raises(DecoderDied, match="MiB of memory"):
            decode(decoder, recording(wide))
        assert_works(decoder, recording(GOOD))


def test_a_file_that_needs_too_much_cpu_time_fails(two_hours: Path, recording: Recording) -> None:
    day = recording(two_hours.read_bytes() * 12, "day")  # concatenated FLAC files are one recording
    limits = DecodeLimits(cpu_seconds=2, max_duration_seconds=86_400)
    with Decoder(limits) as decoder, day.open("rb") as file:
        assert_works(decoder, recording(GOOD))
        audio = decoder.decode(file, 16_000)
        with pytest.raises(DecoderDied, match=r"2 s of CPU time|wait for 4 s"):
            sum(map(len, audio))
        assert_works(decoder, recording(GOOD))


def test_cpu_time_is_counted_for_each_file_alone(ten_minutes: Path) -> None:
    with Decoder(DecodeLimits(cpu_seconds=4)) as decoder, ten_minutes.open("rb") as file:
        pids = set()
        while not decoder.pid or cpu_seconds(decoder.pid) < 5:
            pids.add(decoder.pid)
            assert sum(map(len, decoder.decode(file, 16_000))) == 600 * 16_000
        assert len(pids - {None}) == 1


def test_a_child_that_hangs_is_stopped(ten_minutes: Path, recording: Recording) -> None:
    with Decoder(DecodeLimits(stall_seconds=5)) as decoder, ten_minutes.open("rb") as file:
        audio = decoder.decode(file, 16_000)
        next(audio)
        assert decoder.pid
        os.kill(decoder.pid, signal.SIGSTOP)
        with pytest.raises(DecoderDied, match="no audio for 5 s"):
            list(audio)
        assert_works(decoder, recording(GOOD))


TRICKLE = """
import os, socket, sys, time
control = socket.socket(fileno=int(sys.argv[1]))
control.send(b"ready")
_, fds, _, _ = socket.recv_fds(control, 100, 2)
os.write(fds[1], bytes.fromhex({info!r}))
while True:
    os.write(fds[1], bytes.fromhex({audio!r}))
    time.sleep(0.05)
"""


def test_a_child_that_sends_a_little_now_and_then_is_stopped(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = TRICKLE.format(info=INFO.hex(), audio=TWO_SAMPLES.hex())
    monkeypatch.setattr(parent, "PROGRAM", ("-c", code))
    limits = DecodeLimits(stall_seconds=60, cpu_seconds=1)
    with Decoder(limits) as decoder, recording(GOOD).open("rb") as file:
        audio = decoder.decode(file, 16_000)
        with pytest.raises(DecoderDied, match="2 s in all"):
            list(audio)
        assert decoder.pid is None


def test_a_recording_too_long_fails_before_it_is_decoded_to_the_end(ten_minutes: Path) -> None:
    with Decoder(DecodeLimits(max_duration_seconds=20)) as decoder:
        with ten_minutes.open("rb") as file:
            audio = decoder.decode(file, 16_000)
            with pytest.raises(AudioTooLong, match="20 s"):
                list(audio)
        assert not audio.finished


def test_memory_does_not_grow_with_the_recording(two_hours: Path) -> None:
    """Two hours of silence are a megabyte as FLAC and 2.5 GB as the float samples of both channels."""
    with Decoder(DecodeLimits()) as decoder, two_hours.open("rb") as file:
        before = memory_bytes("self", "VmRSS")
        audio = decoder.decode(file, 16_000)
        largest, num_samples = before, 0
        for block in audio:
            num_samples += len(block)
            largest = max(largest, memory_bytes("self", "VmRSS")) if num_samples % 600_000 < 16_000 else largest
        assert decoder.pid
        added = largest - before + memory_bytes(decoder.pid, "VmHWM")
    assert num_samples == 7_200 * 16_000
    assert added < 300e6


PARENT = """
import os, sys
from appliance.engine.decode.decoder import Decoder, DecodeLimits
decoder = Decoder(DecodeLimits())
audio = decoder.decode(os.open(sys.argv[1], os.O_RDONLY), 16_000)
next(audio)
print(decoder.pid, flush=True)
sys.stdin.read()
"""


def test_the_child_dies_with_a_killed_parent(ten_minutes: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(ten_minutes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert not dies(pid, 0.2)
        parent.kill()
        assert dies(pid)


def test_the_child_survives_the_thread_that_started_it(recording: Recording) -> None:
    path = recording(GOOD)
    with Decoder(DecodeLimits()) as decoder:
        thread = threading.Thread(target=assert_works, args=(decoder, path))
        thread.start()
        thread.join()
        pid = decoder.pid
        assert_works(decoder, path)
        assert decoder.pid == pid is not None


def test_the_child_is_confined(decoder: Decoder, recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLIANCE_SECRET", "not for a decoder")
    with Decoder(DecodeLimits()) as decoder:
        assert_works(decoder, recording(GOOD))
        process = Path(f"/proc/{decoder.pid}")
        assert b"not for a decoder" not in (process / "environ").read_bytes()
        limits = (process / "limits").read_text()
        assert "onnxruntime" not in (process / "maps").read_text()
        assert len(list((process / "fd").iterdir())) < 12
        assert len(list((process / "task").iterdir())) == 1
    soft = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()}
    assert soft["Max address space"] == str(512 * 1024**2)
    assert soft["Max core file size"] == soft["Max file size"] == soft["Max processes"] == "0"
    assert soft["Max open files"] == "32"


def test_no_descriptor_is_left_behind(recording: Recording) -> None:
    good, bad = recording(GOOD), b"no audio" * 100
    with Decoder(DecodeLimits()) as decoder:
        assert_works(decoder, good)
        assert decoder.pid
        num_parent, num_child = len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{decoder.pid}/fd"))
        for _ in range(20):
            with pytest.raises(AudioError):
                decode(decoder, recording(bad))
        assert_works(decoder, recording(GOOD))
        assert len(os.listdir("/proc/self/fd")) <= num_parent  # less if the garbage of other tests was collected
        # The child closes the last file after its last frame.
        wait_for(lambda: len(os.listdir(f"/proc/{decoder.pid}/fd")) <= num_child)


class RogueChild(DecoderChild):
    """A child under an attacker's control: for any file it writes these bytes and then hangs or ends."""

    def __init__(self, answer: Path, hangs: bool) -> None:
        code = (
            "import os, socket, sys, time\n"
            "control = socket.socket(fileno=int(sys.argv[1]))\n"
            "_, fds, _, _ = socket.recv_fds(control, 100, 2)\n"
            "answer = open(sys.argv[2], 'rb').read()\n"
            "while answer: answer = answer[os.write(fds[1], answer):]\n"
            "time.sleep(600 if sys.argv[3] == 'True' else 0)\n"
        )
        self._control, child_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lifeline = -1
        fd = child_control.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(fd), str(answer), str(hangs)], pass_fds=[fd], stderr=subprocess.DEVNULL
        )
        child_control.close()


def frame(kind: bytes, payload: bytes, size: int | None = None) -> bytes:
    return wire.HEADER.pack(kind, len(payload) if size is None else size) + payload


INFO = frame(b"I", b'{"container": "wav", "codec": "pcm_16", "sample_rate_hz": 8000, "num_channels": 1}')
TWO_SAMPLES = frame(b"A", struct.pack("<2f", 0, 1))


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00",
        b"garbage garbage",
        frame(b"?", b"1234"),
        frame(b"A", b"", 0xFFFFFFFF),
        frame(b"I", b"{}"),
        frame(b"I", b"[" * 4_000),
        frame(b"I", b"\xff\xfe"),
        frame(b"I", INFO[5:].replace(b"8000", b"-1")),
        frame(b"I", INFO[5:].replace(b"8000", b"true")),
        frame(b"I", INFO[5:].replace(b"wav", b"w\\u0000v")),
        frame(b"X", b'{"code": "lease_lost", "sentence": "x"}'),
        frame(b"X", b'{"code": [], "sentence": "x"}'),
        TWO_SAMPLES,
        INFO + INFO,
        INFO + frame(b"A", b""),
        INFO + frame(b"A", b"123"),
        INFO + frame(b"A", struct.pack("<f", float("nan"))),
        INFO + frame(b"A", bytes(1_000), 4_000),
        INFO + frame(b"A", bytes(4 * 8_000)) * 5,
        INFO + TWO_SAMPLES,
        INFO + frame(b"E", b'{"num_source_samples": 1e9}'),
        INFO + frame(b"E", b'{"num_source_samples": 1000000000}'),
        INFO + frame(b"V", bytes(7)),
        INFO + frame(b"V", bytes(100_000)),
        INFO + frame(b"V", bytes(16)) + frame(b"L", b'{"num_samples": 100000, "delay": 0, "num_points": 0}'),
        INFO + frame(b"L", b'{"num_samples": 1, "delay": 0, "num_points": 0}'),
    ],
)
def test_an_invalid_reply_fails_the_file(recording: Recording, answer: bytes, hangs: bool) -> None:
    limits = DecodeLimits(stall_seconds=0.5, max_duration_seconds=2)
    child = RogueChild(recording(answer, "answer"), hangs)
    with recording(GOOD).open("rb") as file:
        ask = wire.Ask("mixed", 8_000)
        pipe = child.request(file.fileno(), ask, limits)
        started = time.monotonic()
        with pytest.raises(DecoderDied):
            list(DecodedAudio(child, pipe, ask, limits, io.BytesIO()))
    assert time.monotonic() - started < 300
    child.kill()


def test_an_error_sentence_from_a_child_is_made_printable(recording: Recording) -> None:
    answer = frame(b"X", b'{"code": "corrupt_audio", "sentence": "a\\u001b[31mb"}')
    child = RogueChild(recording(answer, "answer"), hangs=False)
    with recording(GOOD).open("rb") as file:
        ask = wire.Ask("mixed", 8_000)
        pipe = child.request(file.fileno(), ask, DecodeLimits())
        with pytest.raises(CorruptAudio, match=r"^a\?\[31mb$"):
            DecodedAudio(child, pipe, ask, DecodeLimits())
    child.kill()


def test_the_parent_loads_no_library_that_reads_untrusted_bytes() -> None:
    code = "import sys, appliance.engine.decode.decoder; print({'av', 'soundfile', 'onnxruntime'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
