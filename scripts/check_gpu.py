"""Checks and measures the engine on a GPU, for ``scripts/check-gpu``. Everything runs through the appliance's own code.

The bundled model and a large one that is made here are compared with the CPU and timed; memory is watched over many
batches; memory of the GPU is made short; CUDA is hidden. The exit code is 1 if a row misses its target, 2 without a
GPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from appliance import ROOT
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models import runtime
from appliance.engine.models.gpu_options import GpuOptions
from appliance.engine.models.gpus import list_gpus
from appliance.engine.models.runtime import Provider
from appliance.engine.models.session import Session, Slot, num_cores
from appliance.engine.models.store import ModelStore, StoredModel
from appliance.engine.scoring.detector import analyse
from appliance.engine.scoring.events import Detection, DetectionConfig
from appliance.engine.scoring.scorer import Scorer
from appliance.errors import ApplianceError

CLIPS = sorted((ROOT / "tests" / "clips").glob("*.flac"))
LARGEST_MS, LARGEST_CONFIDENCE = 1, 0.01
STEADY = 1.05
FAILURES: tuple[type[Exception], ...] = (ApplianceError, ImportError, *runtime.FAILURES)
NOT_RUN = "not run: no GPU at hand"
LARGE_MANIFEST = """
name = "large"
version = "1.0.0"
task = "detection"
licence = "made by scripts/check_gpu.py"
sha256 = "{sha256}"
[input]
name = "audio"
sample_rate_hz = 16000
window_seconds = 10.0
hop_seconds = 10.0
[output]
name = "scores"
kind = "frame"
frame_hop_seconds = 0.01
[[labels]]
name = "a"
[[labels]]
name = "b"
"""


@dataclass(frozen=True)
class Row:
    """A line of the table. ``ok`` is None if there is no target, or if nothing was measured."""

    what: str
    how: str
    result: str
    ok: bool | None = None


@dataclass(frozen=True)
class Effort:
    """How much is run."""

    batch_size: int
    batches: int  # for the memory
    seconds: float  # for a speed
    channels: int  # of the large graph
    layers: int


GPU = Effort(64, 1000, 5.0, 512, 24)
CPU = Effort(4, 1000, 2.0, 32, 4)


def write_large(store: Path, effort: Effort) -> StoredModel:
    """Make a convolutional graph that is much heavier than the bundled one, with weights by chance."""
    import hashlib

    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    nodes, weights, tensor = list[Any](), list[Any](), "wave"

    def convolve(source: str, channels_in: int, channels_out: int, kernel: int, **attributes: Any) -> str:
        name = f"conv{len(weights)}"
        scale = np.sqrt(2.0 / (channels_in * kernel))
        values = (scale * generator.standard_normal((channels_out, channels_in, kernel))).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"{name}.w"))
        nodes.append(helper.make_node("Conv", [source, f"{name}.w"], [name], **attributes))
        return name

    weights.append(numpy_helper.from_array(np.array([0, 1, -1], np.int64), "flat"))
    nodes.append(helper.make_node("Reshape", ["audio", "flat"], [tensor]))
    tensor = convolve(tensor, 1, effort.channels, 400, strides=[160], pads=[120, 120])
    for layer in range(effort.layers):
        nodes.append(helper.make_node("Relu", [tensor], [f"relu{layer}"]))
        tensor = convolve(f"relu{layer}", effort.channels, effort.channels, 5, pads=[2, 2])
    tensor = convolve(tensor, effort.channels, 2, 1)
    nodes.append(helper.make_node("Sigmoid", [tensor], ["columns"]))
    nodes.append(helper.make_node("Transpose", ["columns"], ["scores"], perm=[0, 2, 1]))
    inputs = [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", 160_000])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1000, 2])]
    graph = helper.make_graph(nodes, "large", inputs, outputs, weights)
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    folder = store / "large" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "manifest.toml").write_text(LARGE_MANIFEST.format(sha256=hashlib.sha256(content).hexdigest()))
    return ModelStore(store).resolve("large")


class Meter:
    """The memory of this process and of the GPU, and how busy the GPU is."""

    def __init__(self, provider: Provider) -> None:
        self._nvml: Any = None
        self._device: Any = None
        if provider == "cuda":
            try:
                import pynvml

                pynvml.nvmlInit()
                name = list_gpus()[0]
                by = pynvml.nvmlDeviceGetHandleByIndex if name.isdigit() else pynvml.nvmlDeviceGetHandleByUUID
                self._device, self._nvml = by(int(name) if name.isdigit() else name), pynvml
            except Exception as error:
                print(f"NVML cannot be used, so nothing is told of the GPU's use: {error}", file=sys.stderr)

    @property
    def name(self) -> str:
        """The GPU and its driver."""
        if not self._nvml:
            return "no NVML"
        return f"{self._nvml.nvmlDeviceGetName(self._device)}, driver {self._nvml.nvmlSystemGetDriverVersion()}"

    def memory(self) -> tuple[int, int]:
        """Return the bytes in use by this process on the CPU, and by all programs on the GPU."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        used = self._nvml.nvmlDeviceGetMemoryInfo(self._device).used if self._nvml else 0
        return pages * os.sysconf("SC_PAGE_SIZE"), int(used)

    @contextmanager
    def busy(self) -> Iterator[list[float]]:
        """Watch the GPU. The list gets the part of the time in which a kernel ran, sample by sample."""
        shares, done = list[float](), threading.Event()

        def watch() -> None:
            while self._nvml and not done.wait(0.1):
                shares.append(self._nvml.nvmlDeviceGetUtilizationRates(self._device).gpu / 100)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield shares
        finally:
            done.set()
            thread.join()


class Check:
    """All rows for one provider."""

    def __init__(self, provider: Provider, effort: Effort, folder: Path) -> None:
        self.provider = provider
        self.effort = effort
        self.meter = Meter(provider)
        self.bundled = ModelStore(ROOT / "model_store").resolve("artifacts")
        self._folder = folder
        self._exact: dict[str, list[Detection]] = {}

    def rows(self) -> Iterator[Row]:
        """Measure one row after the other."""
        versions = f"Python {platform.python_version()}, onnxruntime {runtime.RUNTIME_VERSION}"
        yield Row("machine", versions, self._machine())
        yield from self._guarded("without CUDA", self._hidden)
        for precision in ("float32", "tf32", "float16"):
            yield from self._guarded(f"parity, {precision}", self._parity, GpuOptions(precision=precision))
        yield from self._guarded("parity, CUDA graphs", self._parity, GpuOptions(graphs=True))
        yield from self._guarded("steady memory", self._steady)
        yield from self._guarded("out of memory", self._short_of_memory)
        yield from self._guarded("bound by", self._bound)
        yield from self._guarded("speed, bundled", self._speeds, lambda: self.bundled)
        yield from self._guarded("speed, large", self._speeds, lambda: write_large(self._folder, self.effort))

    def _guarded(self, what: str, measure: Callable[..., Iterator[Row]], *values: Any) -> Iterator[Row]:
        gc.collect()  # sessions of the row before give their memory back
        try:
            yield from measure(*values)
        except FAILURES as error:
            yield Row(what, "", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", False)

    def _machine(self) -> str:
        where = f"{self.meter.name}; GPUs: {len(list_gpus())}" if self.provider == "cuda" else f"the CPU; {NOT_RUN}"
        return f"{where}; {num_cores()} cores, load {os.getloadavg()[0]:.1f}"

    def _only_gpu(self, options: GpuOptions) -> bool:
        return self.provider == "cpu" and (options.precision == "tf32" or options.graphs)

    def _session(self, model: StoredModel, options: GpuOptions) -> Session:
        return Session(model, self.provider, self.effort.batch_size, options)

    def _hidden(self) -> Iterator[Row]:
        """Hide the GPU: ``cuda`` must refuse by name, and ``auto`` must say why it is the CPU."""
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-m", "appliance.cli", "detect", str(CLIPS[0])]
        refused = subprocess.run(
            command, cwd=ROOT, env=environment | {"APPLIANCE_PROVIDER": "cuda"}, capture_output=True, text=True
        )
        line = " ".join(refused.stderr.split())
        yield Row("without CUDA, provider = cuda", "exit code 1 and a reason", line, "CUDA does not load" in line)
        code = "from appliance.engine.models.runtime import *; print(choose_provider('auto'), why_no_cuda())"
        chosen = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
        line = chosen.stdout.strip()
        yield Row("without CUDA, provider = auto", "the CPU and a reason", line, len(line) > 4 and line[:4] == "cpu ")

    def _detections(self, session: Session) -> dict[str, list[Detection]]:
        with Scorer(session) as scorer, Decoder(DecodeLimits()) as decoder:
            found = dict[str, list[Detection]]()
            for path in CLIPS:
                with path.open("rb") as file:
                    found[path.name] = analyse(file, decoder, scorer, DetectionConfig()).detections
        return found

    def _parity(self, options: GpuOptions) -> Iterator[Row]:
        """Compare the detections in the clips of the tests with those of the CPU."""
        name = "CUDA graphs" if options.graphs else options.precision
        how = f"{len(CLIPS)} clips, bundled model; at most {LARGEST_MS} ms and {LARGEST_CONFIDENCE}"
        if self._only_gpu(options):
            yield Row(f"parity, {name}", how, NOT_RUN)
            return
        exact = self._exact = self._exact or self._detections(Session(self.bundled, "cpu"))
        yield Row(f"parity, {name}", how, *compare(exact, self._detections(self._session(self.bundled, options))))

    def _steady(self) -> Iterator[Row]:
        """Score many batches of all sizes and compare the memory after a tenth with that at the end."""
        session = self._session(write_large(self._folder / "steady", replace(CPU, batch_size=0)), GpuOptions())
        slot, first = session.slots[0], self.effort.batches // 10
        for number in range(self.effort.batches):
            count = 1 + number % session.batch_size
            slot.load(count)
            slot.score(count)
            if number + 1 == first:
                before = self.meter.memory()
        after = self.meter.memory()
        how = f"{self.effort.batches} batches, process and GPU; at most × {STEADY} from batch {first} on"
        growth = [new / old for old, new in zip(before, after, strict=True) if old]
        result = f"× {growth[0]:.3f}" + (f" and × {growth[1]:.3f}" if len(growth) > 1 else f"; GPU {NOT_RUN}")
        yield Row("steady memory", how, result, max(growth) <= STEADY)

    def _short_of_memory(self) -> Iterator[Row]:
        """Leave the GPU too little memory for a full batch. On the CPU, its message is raised in place of a result."""
        exact = self._scores(self._session(self.bundled, GpuOptions()))
        largest = self.effort.batch_size
        for limit in (2**power for power in range(35, 25, -1)):
            if self.provider == "cuda":
                runtime.CUDA_OPTIONS["gpu_mem_limit"] = str(limit)
            try:
                session = self._session(self.bundled, GpuOptions())
                slot = session.slots[0]
                if self.provider == "cpu":
                    setattr(slot, "_run_part", failing_above(slot, largest // 2))  # noqa: B010
                scores = self._scores(session)
            finally:
                runtime.CUDA_OPTIONS.pop("gpu_mem_limit", None)
            if session.most_windows < largest:
                break
        lost = len(exact) - len(scores)
        difference = float(np.abs(scores - exact[: len(scores)]).max())
        cause = f"memory limited to {limit / 2**20:.0f} MiB" if self.provider == "cuda" else "simulated"
        how = f"{largest} windows, {cause}"
        result = f"batches of {session.most_windows}; windows lost: {lost}; scores differ by {difference:.4f}"
        ok = session.most_windows < largest and lost == 0 and difference <= LARGEST_CONFIDENCE
        yield Row("out of memory", how, result, ok)

    def _scores(self, session: Session) -> np.ndarray:
        slot = session.slots[0]
        slot.windows[:] = 0.1 * np.random.default_rng(0).standard_normal(slot.windows.shape)
        slot.load(session.batch_size)
        return slot.score(session.batch_size)

    def _bound(self) -> Iterator[Row]:
        """Decode alone, score alone and do both, each with all cores, in seconds of audio per second."""
        session = self._session(self.bundled, GpuOptions())
        source = session.manifest.input
        decoded = self._decode(lambda decoder, file: sum(len(b) for b in decoder.decode(file, source.sample_rate_hz)))
        with self.meter.busy() as idle:
            scored = self._speed(session)
        config = DetectionConfig()
        with Scorer(session) as scorer, self.meter.busy() as shares:
            both = self._decode(
                lambda decoder, file: analyse(file, decoder, scorer, config).duration_ms * source.sample_rate_hz // 1000
            )
        least = "decode" if decoded < scored else "the GPU" if self.provider == "cuda" else "the graph"
        result = f"decode alone {decoded:.0f}, graph alone {scored:.0f}{share(idle)}, both {both:.0f}{share(shares)}"
        yield Row("bound by", "bundled model, FLAC, audio-seconds per second", f"{least}: {result}")

    def _decode(self, work: Callable[[Decoder, Any], int]) -> float:
        """Run ``work`` on the clips with a decoder for each core. It returns the samples that it decoded."""
        rate_hz = self.bundled.scoring.input.sample_rate_hz

        def run(decoder: Decoder) -> int:
            num_samples = 0
            while time.monotonic() < deadline:
                for path in CLIPS:
                    with path.open("rb") as file:
                        num_samples += work(decoder, file)
            return num_samples

        decoders = [Decoder(DecodeLimits()) for _ in range(num_cores())]
        try:
            began = time.monotonic()
            deadline = began + self.effort.seconds
            with ThreadPoolExecutor(len(decoders)) as pool:
                return sum(pool.map(run, decoders)) / rate_hz / (time.monotonic() - began)
        finally:
            for decoder in decoders:
                decoder.close()

    def _speeds(self, load: Callable[[], StoredModel]) -> Iterator[Row]:
        model = load()
        choices = [GpuOptions(), GpuOptions(calls=2), GpuOptions(precision="tf32"), GpuOptions(precision="float16")]
        choices += [GpuOptions(graphs=True), GpuOptions(precision="float16", graphs=True)]
        for options in choices:
            details = f"{options.precision}, {options.calls} at once" + ", CUDA graphs" * options.graphs
            name = f"speed, {model.manifest.name}, {details}"
            if self._only_gpu(options):
                yield Row(name, "audio-seconds per second", NOT_RUN)
            else:
                yield from self._guarded(name, self._timed, name, model, options)

    def _timed(self, name: str, model: StoredModel, options: GpuOptions) -> Iterator[Row]:
        session = self._session(model, options)
        with self.meter.busy() as shares:
            speed = self._speed(session)
        how = f"audio-seconds per second, batches of {session.batch_size}, copies included"
        yield Row(name, how, f"{speed:.0f}{share(shares)}")

    def _speed(self, session: Session) -> float:
        """Score full batches with all slots. Returns seconds of audio per second."""
        cores = threading.Semaphore(session.calls)

        def run(slot: Slot, seconds: float) -> int:
            deadline, num_windows = time.monotonic() + seconds, 0
            while not num_windows or time.monotonic() < deadline:
                slot.load(session.batch_size)
                with cores:
                    slot.score(session.batch_size)
                num_windows += session.batch_size
            return num_windows

        with ThreadPoolExecutor(len(session.slots)) as pool:
            for seconds in (0.0, self.effort.seconds):  # at first, plans are made and memory is taken
                began = time.monotonic()
                num_windows = sum(pool.map(run, session.slots, [seconds] * len(session.slots)))
        return num_windows * session.manifest.input.hop_seconds / (time.monotonic() - began)


def failing_above(slot: Slot, most: int) -> Callable[[int, int, str], np.ndarray]:
    """Return what runs a part of a batch, but fails as CUDA does if it is larger than ``most``."""
    run_part = slot._run_part

    def run(start: int, count: int, output: str) -> np.ndarray:
        if count > most:
            raise RuntimeError("CUDA failure 2: out of memory")
        return run_part(start, count, output)

    return run


def compare(exact: dict[str, list[Detection]], other: dict[str, list[Detection]]) -> tuple[str, bool]:
    """Return how far the detections are apart, in words, and whether that is near enough."""
    pairs = list[tuple[Detection, Detection]]()
    for name, detections in exact.items():
        kinds, others = ([d.artifact_type for d in side] for side in (detections, other[name]))
        if kinds != others:
            return f"{name}: {', '.join(others) or 'nothing'} in place of {', '.join(kinds) or 'nothing'}", False
        pairs += zip(detections, other[name], strict=True)
    times = max(max(abs(a.start_ms - b.start_ms), abs(a.end_ms - b.end_ms)) for a, b in pairs)
    confidence = max(abs(a.confidence - b.confidence) for a, b in pairs)
    result = f"{len(pairs)} detections; they differ by at most {times} ms and {confidence:.4f}"
    return result, times <= LARGEST_MS and confidence <= LARGEST_CONFIDENCE


def share(shares: list[float]) -> str:
    """Return how busy the GPU was, in words, or nothing if it was not watched."""
    return f" (GPU busy {np.mean(shares):.0%})" if shares else ""


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    verdicts = {True: "ok", False: "MISSED", None: ""}
    lines = ["| check | how | result | |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {r.what} | {r.how} | {r.result} | {verdicts[r.ok]} |" for r in rows)]) + "\n"


def main() -> int:
    """Run all rows. Returns 1 if one misses its target, 2 without a GPU."""
    parser = argparse.ArgumentParser(description="Check and measure the engine on a GPU.")
    parser.add_argument("--provider", choices=["cuda", "cpu"], default="cuda", help="cpu runs what needs no GPU")
    parser.add_argument("--quick", action="store_true", help="less of everything: to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table, for docs/performance.md")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if given.provider == "cuda" and (reason := runtime.why_no_cuda()):
        print(f"No GPU can be used: {reason}. Nothing was measured.", file=sys.stderr)
        print("--provider cpu runs every row that needs no GPU.", file=sys.stderr)
        return 2
    effort = GPU if given.provider == "cuda" else CPU
    if given.quick:
        effort = replace(effort, batches=50, seconds=0.5)
    rows = list[Row]()
    with tempfile.TemporaryDirectory() as folder:
        for row in Check(given.provider, effort, Path(folder)).rows():
            print(f"{row.what}: {row.result}", file=sys.stderr, flush=True)
            rows.append(row)
    print(table(rows), end="")
    if given.markdown:
        given.markdown.write_text(table(rows))
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if given.provider == "cpu":
        print("These are figures of the CPU. Nothing of this says how a GPU does.", file=sys.stderr)
    return int(any(row.ok is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
