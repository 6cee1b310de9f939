"""The only module that imports onnxruntime: loads a graph on a provider that really works, and runs batches on it.

``get_available_providers()`` lists CUDA on machines without it, and a session that asks for CUDA falls back to the CPU
with only a log line. So a small convolution (cuDNN loads lazily) is run first, with the fallback forbidden.

Since 1.29 onnxruntime's packages for Linux send telemetry to their makers as soon as they are imported. Nothing may
leave the building, so it is switched off before the import.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import structlog

from appliance.engine.models.manifest import Manifest
from appliance.engine.models.onnx_file import check_onnx, open_axis
from appliance.engine.models.store import GRAPH, StoredModel
from appliance.errors import InvalidManifest, ProviderUnavailable, ScoringFailed

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, while the library loads
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

Provider = Literal["cuda", "cpu"]
RUNTIME_VERSION: str = onnxruntime.__version__

log = structlog.get_logger()

PROBE = Path(__file__).with_name("probe.onnx")
ORT_FORMAT = b"ORTM"  # from the fifth byte on
CPU_BATCH_SIZE = 1  # larger batches cost more CPU time on convolutional models: 8 took a sixth more than 1
CUDA_BATCH_SIZE = 64
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
FAILURES: tuple[type[Exception], ...] = (
    *(error for error in vars(ort_errors).values() if isinstance(error, type) and issubclass(error, Exception)),
    OSError,
    RuntimeError,
    ValueError,
)
# What onnxruntime, CUDA, cuDNN, cuBLAS and C++ say. It has no class of its own.
OUT_OF_MEMORY = re.compile(r"failed to allocate memory|out of memory|alloc_failed|bad_alloc", re.IGNORECASE)
LOAD_FAILURES: tuple[type[Exception], ...] = (*FAILURES, InvalidManifest)


@functools.cache
def why_no_cuda() -> str | None:
    """Return None if CUDA really runs a convolution on this machine, else the reason that it does not."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver is installed (libcuda.so.1)"
    onnxruntime.set_default_logger_severity(4)
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            onnxruntime.preload_dlls()
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        probe = onnxruntime.InferenceSession(PROBE, options, providers=[("CUDAExecutionProvider", CUDA_OPTIONS)])
        if probe.get_providers()[0] != "CUDAExecutionProvider":
            return "onnxruntime fell back to the CPU"
        probe.run(None, {"x": np.zeros((1, 1, 8), np.float32)})
    except FAILURES as error:
        return "; ".join([*output.getvalue().splitlines()[:1], str(error).strip().splitlines()[0]])
    finally:
        onnxruntime.set_default_logger_severity(2)
    return None


def choose_provider(wanted: Literal["auto", "cuda", "cpu"]) -> Provider:
    """Return the provider to run on. Raises ProviderUnavailable if ``wanted`` is ``cuda`` and CUDA does not load."""
    if wanted == "cpu":
        return "cpu"
    reason = why_no_cuda()
    if reason is None:
        return "cuda"
    if wanted == "cuda":
        raise ProviderUnavailable(f"provider = cuda, but CUDA does not load: {reason}.")
    return "cpu"


@dataclass(frozen=True)
class Parallel:
    """How a graph uses the cores: ``calls`` run at once, each on ``threads`` threads."""

    calls: int
    threads: int

    @classmethod
    def of(cls, calls: int, threads: int) -> Parallel:
        """Return a choice that fills the cores; 0 stands for what the other number leaves.

        By default each core has a call: threads within a call wait for each other at every operator.
        """
        calls = calls or max(1, num_cores() // max(1, threads))
        return cls(calls, threads or max(1, num_cores() // calls))


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


class Session:
    """A loaded graph that scores windows.

    ``slots`` are buffers. Only one thread may run a slot at a time, and at most ``calls`` may run at once: on the CPU
    all of them, on CUDA one of two, so that one can be filled while the other runs.
    """

    def __init__(
        self, model: StoredModel, provider: Provider, batch_size: int = 0, parallel: Parallel | None = None
    ) -> None:
        """Load the graph. ``batch_size`` is in windows; 0 is the provider's default. A fixed batch axis overrides it.

        ``parallel`` is for the CPU; None is the default.

        Raises InvalidManifest if the graph does not load or has no such input, ProviderUnavailable if CUDA falls back.
        """
        self.manifest = model.scoring
        self.provider = provider
        self.parallel = (parallel or Parallel.of(0, 0)) if provider == "cpu" else Parallel(1, num_cores())
        self._session = self._load(model)
        source = next((i for i in self._session.get_inputs() if i.name == self.manifest.input.name), None)
        if source is None:
            names = ", ".join(i.name for i in self._session.get_inputs())
            raise InvalidManifest(f"{model.folder}: input.name: the graph's inputs are {names}.")
        fixed = source.shape[0] if source.shape and isinstance(source.shape[0], int) else None
        self.batch_size = fixed or batch_size or (CUDA_BATCH_SIZE if provider == "cuda" else CPU_BATCH_SIZE)
        self._most_windows, self._can_split = self.batch_size, fixed is None
        self.pads_batches = fixed is not None or provider == "cuda"
        self.input_shape, self.input_type = source.shape, source.type
        self.output_shapes = {output.name: output.shape for output in self._session.get_outputs()}
        self.calls = self.parallel.calls
        self.slots = [Slot(self) for _ in range(2 if provider == "cuda" else self.calls)]

    def last_window_samples(self, num_samples: int) -> int:
        """Return the length of a recording's last window, which holds ``num_samples``.

        CUDA gets whole windows only, so that all its batches have one shape.
        """
        source = self.manifest.input
        return source.window_samples if self.provider == "cuda" else source.last_window_samples(num_samples)

    def _load(self, model: StoredModel) -> onnxruntime.InferenceSession:
        options = _options(self.parallel.threads)
        options.add_session_config_entry("session.load_model_format", "ONNX")
        providers: list[str | tuple[str, dict[str, str]]] = ["CPUExecutionProvider"]
        if self.provider == "cuda":
            providers.insert(0, ("CUDAExecutionProvider", CUDA_OPTIONS))
        try:
            # From memory, so that the graph cannot name files beside it.
            content = model.read(GRAPH)
            check_onnx(content)
            source = self.manifest.input
            if source.window_step_seconds is not None:
                content = open_axis(content, source.name, source.layout.split(",").index("samples"))
            session = onnxruntime.InferenceSession(content, options, providers=providers)
        except LOAD_FAILURES as error:
            raise InvalidManifest(f"{model.graph} does not load: {error}.") from error
        if self.provider == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
            raise ProviderUnavailable(f"{model.manifest.id} fell back to the CPU.")
        return session

    def run(self, batch: np.ndarray, output: str) -> np.ndarray:
        """Run ``batch``, already in the input's layout, and return one output. Raises ScoringFailed.

        If memory does not suffice, half of the windows are run at once from then on, down to single ones.
        """
        outputs = list[np.ndarray]()
        start = 0
        while start < len(batch):
            part = batch[start : start + self._most_windows]
            try:
                outputs.append(self._run_whole(part, output))
            except FAILURES as error:
                if len(part) == 1 or not self._can_split or not OUT_OF_MEMORY.search(str(error)):
                    raise ScoringFailed(f"{self.manifest.id} could not score a batch: {error}.") from error
                self._most_windows = (len(part) + 1) // 2
                log.warning("out of memory; batches are halved", model=self.manifest.id, windows=self._most_windows)
            else:
                start += len(part)
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def _run_whole(self, batch: np.ndarray, output: str) -> np.ndarray:
        if self.provider == "cuda":
            return self._run_bound(batch, output)
        return np.asarray(self._session.run([output], {self.manifest.input.name: batch})[0])

    def _run_bound(self, batch: np.ndarray, output: str) -> np.ndarray:
        binding = self._session.io_binding()
        binding.bind_cpu_input(self.manifest.input.name, batch)
        binding.bind_output(output, "cpu")
        self._session.run_with_iobinding(binding)
        return np.asarray(binding.copy_outputs_to_cpu()[0])


class Graph:
    """A graph with named inputs and outputs, run on the CPU. Any number of threads may call ``run`` at once."""

    def __init__(self, model: StoredModel, name: str, num_threads: int = 0) -> None:
        """Load the graph in the model's file ``name``, in ONNX or in onnxruntime's own format.

        ``num_threads`` 0 is one thread for each core. Raises InvalidManifest if the graph does not load.
        """
        options = _options(num_threads or num_cores())
        self._name = name
        try:
            content = model.read(name)
            if content[4:8] != ORT_FORMAT:
                check_onnx(content)
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except LOAD_FAILURES as error:
            raise InvalidManifest(f"{model.folder / name} does not load: {error}.") from error
        self.input_shapes = {node.name: node.shape for node in self._session.get_inputs()}
        self.output_shapes = {node.name: node.shape for node in self._session.get_outputs()}

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Run the graph and return the named outputs in the order of ``outputs``. Raises ScoringFailed."""
        try:
            return list(self._session.run(outputs, inputs))
        except FAILURES as error:
            raise ScoringFailed(f"{self._name} could not be run: {error}.") from error


def _options(num_threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    # Threads that spin while they wait would take CPU time from the decoders.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


class Slot:
    """A preallocated batch. The caller writes ``windows`` : (batch_size, window_samples) float32."""

    def __init__(self, session: Session) -> None:
        self._session = session
        source = session.manifest.input
        self._memory = np.zeros(session.batch_size * source.window_samples, np.float32)
        self._axis = {"batch,samples": None, "batch,1,samples": 1, "batch,samples,1": 2}[source.layout]
        self.resize(source.window_samples)

    def resize(self, window_samples: int) -> None:
        """Make the windows of this batch as long as this, at most the model's window. What they hold is undefined."""
        size = self._session.batch_size * window_samples
        self.windows = self._memory[:size].reshape(self._session.batch_size, window_samples)
        self._tensor = self.windows if self._axis is None else np.expand_dims(self.windows, self._axis)

    def score(self, num_windows: int) -> np.ndarray:
        """Return the scores of the first ``num_windows``: (num_windows, num_frames, num_labels) float32 probabilities.

        Raises ScoringFailed if the graph fails or its output does not have the shape in the manifest.
        """
        manifest = self._session.manifest
        scores = self.run(num_windows, manifest.output.name)
        if manifest.output.kind == "window" and scores.ndim == 2:
            scores = scores[:, np.newaxis, :]
        if scores.ndim != 3 or scores.shape[0] != num_windows or scores.shape[2] != len(manifest.labels):
            raise ScoringFailed(f"{manifest.id} returned scores of the shape {scores.shape}.")
        return activate(scores, manifest)

    def embed(self, num_windows: int) -> np.ndarray:
        """Return the vectors of the first ``num_windows``: (num_windows, num_dimensions) float32.

        Raises ScoringFailed, and InvalidManifest if the model has no embeddings.
        """
        manifest = self._session.manifest
        vectors = self.run(num_windows, manifest.embedding_output)
        if vectors.ndim != 2 or vectors.shape[0] != num_windows:
            raise ScoringFailed(f"{manifest.id} returned vectors of the shape {vectors.shape}.")
        return vectors

    def run(self, num_windows: int, output: str) -> np.ndarray:
        """Return one output of the graph for the first ``num_windows``, as float32. Raises ScoringFailed."""
        if self._session.pads_batches:
            self.windows[num_windows:] = 0
        tensor = self._tensor if self._session.pads_batches else self._tensor[:num_windows]
        return self._session.run(tensor, output)[:num_windows].astype(np.float32, copy=False)


def activate(scores: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Return ``scores`` (any leading axes, num_labels) after the manifest's activation along the last axis."""
    if manifest.output.activation == "sigmoid":
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * scores)))
    if manifest.output.activation == "softmax":
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    return scores
