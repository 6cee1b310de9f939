"""Measures how near ``appliance detect`` comes to what this machine can do, what short clips cost, and memory.

    .venv/bin/python scripts/bench_engine.py [--quick] [--librosa PYTHON] [--json FILE]

The audio is made here: noise with tones. Every figure is a ratio of times of one run, since other programs may use the
machine: the best of several rounds counts. The limit is cores / (decode + graph CPU seconds per second of audio), both
measured alone. PYTHON is an interpreter with librosa and onnxruntime, for the plain loop of ``librosa.load`` and
``session.run`` over the same graph.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, cycle
from pathlib import Path

import numpy as np
import soundfile

from appliance import ROOT
from appliance.config import Settings
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models.session import Session, num_cores
from appliance.engine.models.store import ModelStore

RATE_HZ = 44_100
CLIP_SECONDS = 2.0
FORMATS = (("wav", "PCM_16"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III"))
LIBROSA_LOOP = """
import sys, numpy, librosa, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
for path in sys.argv[2:]:
    audio, _ = librosa.load(path, sr=32000, mono=True)
    for start in range(0, max(1, len(audio) - 32000), 224000):
        window = numpy.zeros((1, 256000), numpy.float32)
        part = audio[start : start + 256000]
        window[0, : len(part)] = part
        session.run(["scores"], {"waveform": window})
"""


@dataclass(frozen=True)
class Row:
    """A figure, and how it was measured."""

    name: str
    how: str
    value: float


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Return noise with tones that come and go: (num_samples, 2) float32."""
    generator = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    tone = 0.2 * np.sin(2 * np.pi * 440 * t) * (np.sin(2 * np.pi * 0.3 * t) > 0)
    return (tone[:, None] + 0.05 * generator.standard_normal((len(t), 2))).astype(np.float32)


def write_sound(path: Path, seconds: float, subtype: str = "PCM_16") -> Path:
    """Write a recording; a long one repeats its first minute. Larger pieces would crash the encoder of Vorbis."""
    minute = sound(min(seconds, 60.0))
    left = int(seconds * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 2, subtype) as file:
        for second in cycle(range(60)):
            if left <= 0:
                break
            piece = minute[second * RATE_HZ : (second + 1) * RATE_HZ][:left]
            file.write(piece)
            left -= len(piece)
    return path


def run_detect(files: list[Path]) -> tuple[float, float]:
    """Return the wall seconds and the CPU seconds, decoders included, that ``detect`` takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [sys.executable, "-m", "appliance.cli", "detect", "--format", "json", *map(str, files)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu_seconds_of(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def decode_cost(files: list[Path], seconds: float, rate_hz: int) -> float:
    """Return the CPU seconds that decoding takes for each second of audio, in the decoder and in its parent."""
    with Decoder(DecodeLimits()) as decoder:
        for _ in decoder.decode(files[0].open("rb"), rate_hz):
            pass
        assert decoder.pid
        before = time.process_time() + cpu_seconds_of(decoder.pid)
        for path in files:
            with path.open("rb") as file:
                for _ in decoder.decode(file, rate_hz):
                    pass
        return (time.process_time() + cpu_seconds_of(decoder.pid) - before) / (seconds * len(files))


def graph_cost(session: Session) -> tuple[float, float]:
    """Return the CPU seconds for each second of audio of bare calls: one at a time, and as many as there are cores."""
    source = session.manifest.input
    batch = sound(source.window_seconds)[:, 0][: source.window_samples]
    batch = np.resize(batch, source.window_samples)[np.newaxis]

    def call(_: int) -> None:
        session.run(batch, session.manifest.output.name)

    def cost(calls: int) -> float:
        with ThreadPoolExecutor(calls) as pool:
            began = time.process_time()
            list(pool.map(call, range(2 * calls)))
        return (time.process_time() - began) / (2 * calls * source.hop_seconds)

    call(0)
    costs = [(cost(1), cost(num_cores())) for _ in range(3)]
    return min(alone for alone, _ in costs), min(together for _, together in costs)


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """Watch the memory of a process and its children. The list gets the highest sum, in bytes."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            total = 0
            for number in (pid, *_children(pid)):
                try:
                    lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
                    total += next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
                except (OSError, StopIteration):
                    pass
            peak[0] = max(peak[0], total)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _children(pid: int) -> list[int]:
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def memory_of(path: Path) -> int:
    """Return the highest memory of ``detect`` and its decoders on one recording, in bytes."""
    command = [sys.executable, "-m", "appliance.cli", "detect", "--format", "json", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process, peak_memory(process.pid) as peak:
        process.wait()
    return peak[0]


class Rounds:
    """The figures of several rounds."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self._best: dict[str, Callable[[list[float]], float]] = {}

    def least(self, name: str, value: float) -> None:
        """Note a figure of which the least counts."""
        self._values.setdefault(name, []).append(value)
        self._best[name] = min

    def most(self, name: str, value: float) -> None:
        """Note a figure of which the highest counts."""
        self._values.setdefault(name, []).append(value)
        self._best[name] = max

    def rows(self) -> Iterator[Row]:
        """Yield the best of each figure, and all values."""
        for name, values in self._values.items():
            all_values = " ".join(f"{value:.4g}" for value in values)
            yield Row(name, f"best of {len(values)}: {all_values}", self._best[name](values))


def measure_speed(folder: Path, *, quick: bool, librosa: str | None) -> Iterator[Row]:
    """Yield the rows on CPU time and wall time."""
    num_rounds, seconds, copies, num_clips = (2, 60.0, 1, 100) if quick else (3, 300.0, 4, 1000)
    files = [
        write_sound(folder / f"{copy}.{suffix}", seconds, subtype)
        for suffix, subtype in FORMATS
        for copy in range(copies)
    ]
    clips = [write_sound(folder / f"clip{i}.wav", CLIP_SECONDS) for i in range(num_clips)]
    long = write_sound(folder / "long.wav", CLIP_SECONDS * num_clips)
    model = ModelStore(Settings().model_store).resolve(Settings().default_model)
    session = Session(model, "cpu")
    total = seconds * len(files)
    rounds = Rounds()
    for _ in range(num_rounds):
        decoding = decode_cost(files[::copies], seconds, session.manifest.input.sample_rate_hz)
        alone, together = graph_cost(session)
        limit_cpu = total * (decoding + together)
        rounds.least("decode, CPU ms per second of audio", 1000 * decoding)
        rounds.least("graph, CPU ms per second of audio, one call", 1000 * alone)
        rounds.least("graph, CPU ms per second of audio, a call for each core", 1000 * together)
        start_wall, start_cpu = run_detect(clips[: num_cores()])
        wall, cpu = run_detect(files)
        rounds.most("detect ÷ limit, wall", limit_cpu / num_cores() / wall)
        rounds.most("detect ÷ limit, wall, start not counted", limit_cpu / num_cores() / (wall - start_wall))
        rounds.most("detect ÷ limit, CPU", limit_cpu / cpu)
        rounds.most("detect ÷ limit, CPU, start not counted", limit_cpu / (cpu - start_cpu))
        clips_wall, clips_cpu = run_detect(clips)
        long_wall, long_cpu = run_detect([long])
        name = f"{num_clips} clips of {CLIP_SECONDS:g} s ÷ one of {CLIP_SECONDS * num_clips:g} s, start not counted"
        rounds.least(f"{name}, wall", (clips_wall - start_wall) / (long_wall - start_wall))
        rounds.least(f"{name}, CPU", (clips_cpu - start_cpu) / (long_cpu - start_cpu))
        if librosa:
            began = time.perf_counter()
            subprocess.run([librosa, "-c", LIBROSA_LOOP, str(model.graph), *map(str, files)], check=True)
            rounds.most("detect ÷ librosa loop, wall", (time.perf_counter() - began) / wall)
    yield from rounds.rows()


def measure_memory(folder: Path, *, quick: bool) -> Iterator[Row]:
    """Yield the rows on memory, of one recording at a time."""
    lengths = (60, 1200) if quick else (60, 3600, 6 * 3600)
    sizes = [memory_of(write_sound(folder / f"{length}s.flac", length)) for length in lengths]
    for length, size in zip(lengths, sizes, strict=True):
        yield Row(f"memory of detect and its decoder, {length / 60:g} min", "MB, highest sum of PSS", size / 1e6)
    yield Row(f"memory, {lengths[-1] / 60:g} min ÷ 1 min", "", sizes[-1] / sizes[0])


def main() -> None:
    """Measure, print the rows and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less audio; under two minutes")
    parser.add_argument("--librosa", metavar="PYTHON")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    print(f"{num_cores()} cores, load {os.getloadavg()[0]:.1f} before")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        speed = measure_speed(Path(folder), quick=arguments.quick, librosa=arguments.librosa)
        for row in chain(speed, measure_memory(Path(folder), quick=arguments.quick)):
            print(f"{row.value:10.4g}  {row.name}  ({row.how})", flush=True)
            rows.append(asdict(row))
    print(f"load {os.getloadavg()[0]:.1f} after")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
