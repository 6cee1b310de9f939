"""Sessions: a graph with its manifest, ready to score windows, on the CPU or on a GPU.

On the CPU, a call takes the windows that are there, and calls run side by side. On a GPU, batches have a few fixed
sizes: a convolution is planned anew whenever the shape changes, and shapes that are known let onnxruntime compute
everything that depends on them once. So each size has a session, and each slot has buffers on the GPU for each size.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog

from appliance.engine.models.gpu_options import GpuOptions, batch_sizes
from appliance.engine.models.gpus import pin
from appliance.engine.models.manifest import Manifest
from appliance.engine.models.onnx_file import check_onnx, input_axes, open_axis
from appliance.engine.models.runtime import (
    CUDA_MAJOR,
    FAILURES,
    LOAD_FAILURES,
    OUT_OF_MEMORY,
    Buffers,
    Provider,
    open_graph,
)
from appliance.engine.models.store import GRAPH, StoredModel
from appliance.errors import InvalidManifest, ProviderUnavailable, ScoringFailed

log = structlog.get_logger()

CPU_BATCH_SIZE = 1  # larger batches cost more CPU time on convolutional models: 8 took a sixth more than 1
GPU_BATCH_SIZE = 64
# While a CUDA graph is recorded, no other thread may copy or take memory.
_recording = threading.RLock()


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
    all of them, on a GPU all but one, so that one can be filled while the others run.
    """

    def __init__(
        self,
        model: StoredModel,
        provider: Provider,
        batch_size: int = 0,
        how: Parallel | GpuOptions | None = None,
    ) -> None:
        """Load the graph. ``batch_size`` is in windows; 0 is the provider's default. A fixed batch axis overrides it.

        ``how`` is GpuOptions for a GPU; with the provider ``cpu``, they make the CPU do all as a GPU does. It is
        Parallel for the CPU. None is the provider's default.

        Raises InvalidManifest if the graph does not load or has no such input, ProviderUnavailable if CUDA falls back.
        """
        self.manifest = model.scoring
        self.provider = provider
        how = how or (GpuOptions() if provider == "cuda" else Parallel.of(0, 0))
        self.gpu = how if isinstance(how, GpuOptions) else None
        self._num_threads = how.threads if isinstance(how, Parallel) else num_cores()
        self.calls = 1 if self.gpu and self.gpu.graphs else how.calls
        self._model = model
        self._lock = threading.Lock()
        self._sizes: list[int]
        self._sessions: dict[int, Any]  # by the size of the batch; on the CPU only one, under 0
        self._load(batch_size)
        self.pads_batches = self.gpu is not None or not self._can_split
        self.recording: contextlib.AbstractContextManager[object] = (
            _recording if self.gpu and self.gpu.graphs else contextlib.nullcontext()
        )
        spare = int(self.gpu is not None and not self.gpu.graphs)
        self.slots = [Slot(self) for _ in range(self.calls + spare)]

    def last_window_samples(self, num_samples: int) -> int:
        """Return the length of a recording's last window, which holds ``num_samples``.

        A GPU gets whole windows only, so that its batches have few shapes.
        """
        source = self.manifest.input
        return source.window_samples if self.gpu else source.last_window_samples(num_samples)

    @property
    def most_windows(self) -> int:
        """The largest number of windows that run at once."""
        return self._sizes[-1]

    def size_for(self, num_windows: int) -> int:
        """Return the size of the batch in which so many windows run."""
        if not self.pads_batches:
            return num_windows
        return next((size for size in self._sizes if size >= num_windows), num_windows)

    def run(self, batch: np.ndarray, output: str) -> np.ndarray:
        """Run ``batch``, already in the input's layout, and return one output. Raises one of FAILURES."""
        return np.asarray(self._sessions[0].run([output], {self.manifest.input.name: batch})[0])

    def buffers(self, size: int, shape: tuple[int, ...]) -> Buffers:
        """Return new buffers for batches of one size on a GPU. Raises one of FAILURES if memory does not suffice."""
        with self._lock:
            if size not in self._sessions:
                self._sessions[size] = self._open(self._read(), size)
            return Buffers(self._sessions[size], self.provider, self.manifest.input.name, shape)

    def halve(self, size: int, error: Exception) -> None:
        """Halve the batches from now on, after one of ``size`` failed. Raises ScoringFailed if that cannot help."""
        if size == 1 or not self._can_split or not OUT_OF_MEMORY.search(str(error)):
            raise ScoringFailed(f"{self.manifest.id} could not score a batch: {error}.") from error
        with self._lock:
            if size <= self.most_windows:  # otherwise another slot has done it
                half = (size + 1) // 2
                self._sizes = [*(smaller for smaller in self._sizes if smaller < half), half]
                if self.gpu:  # the larger ones give their memory back
                    self._sessions = {kept: self._sessions[kept] for kept in self._sizes if kept in self._sessions}
                log.warning("out of memory; batches are halved", model=self.manifest.id, windows=half)

    def _load(self, batch_size: int) -> None:
        model, source = self._model, self.manifest.input
        try:
            content = self._read()
            axes = input_axes(content, source.name)
            fixed = axes[0] if axes and isinstance(axes[0], int) else None
            largest = fixed or batch_size or (GPU_BATCH_SIZE if self.gpu else CPU_BATCH_SIZE)
            self._axes, self._can_split, self.batch_size = axes, fixed is None, largest
            self._sizes = batch_sizes(largest) if self.gpu and not fixed else [largest]
            self._sessions = {size if self.gpu else 0: self._open(content, size) for size in reversed(self._sizes)}
        except LOAD_FAILURES as error:
            raise InvalidManifest(f"{model.graph} does not load: {error}.") from error
        except ProviderUnavailable as error:
            raise ProviderUnavailable(f"{model.manifest.id}: {error}") from error
        session = next(iter(self._sessions.values()))
        node = next((node for node in session.get_inputs() if node.name == source.name), None)
        if node is None:
            names = ", ".join(node.name for node in session.get_inputs())
            raise InvalidManifest(f"{model.folder}: input.name: the graph's inputs are {names}.")
        self.input_shape, self.input_type = node.shape, node.type
        self.output_shapes = {output.name: output.shape for output in session.get_outputs()}

    def _read(self) -> bytes:
        """Return the graph. It is loaded from memory, so that it cannot name files beside it."""
        source = self.manifest.input
        content = self._model.read(GRAPH)
        check_onnx(content)
        if self.gpu and self.gpu.precision == "float16":
            content = _halved(content)
        if not self.gpu and source.window_step_seconds is not None:
            content = open_axis(content, source.name, source.layout.split(",").index("samples"))
        return content

    def _open(self, content: bytes, size: int) -> Any:
        cuda = self.gpu.cuda if self.gpu else {}
        sizes = dict[str, int]()
        if self.gpu and self._axes:
            source = self.manifest.input
            lengths = {"samples": source.window_samples, "channels": source.num_channels}
            wanted = [size, *(lengths.get(axis, 1) for axis in source.layout.split(",")[1:])]
            sizes = {
                name: number for name, number in zip(self._axes, wanted, strict=False) if name and isinstance(name, str)
            }
        with _recording:
            return open_graph(content, self.provider, self._num_threads, sizes=sizes, cuda_options=cuda)


def _halved(content: bytes) -> bytes:
    from appliance.engine.models.half_precision import to_half  # the package onnx takes long to import

    try:
        return to_half(content)
    except ValueError as error:
        raise InvalidManifest(f"gpu_precision = float16, but the graph cannot be converted: {error}") from error


class Slot:
    """A preallocated batch. The caller writes ``windows``.

    They are (batch_size, window_samples) float32, or (batch_size, window_samples, 2) if the graph gets two channels.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        source = session.manifest.input
        self._memory = np.zeros(session.batch_size * source.num_channels * source.window_samples, np.float32)
        if session.provider == "cuda":
            with _recording:
                pin(self._memory, CUDA_MAJOR)
        self._buffers = dict[int, Buffers]()  # by the size of the batch
        self._loaded: Buffers | None = None
        self._layout, self._num_channels = source.layout, source.num_channels
        self.resize(source.window_samples)

    def resize(self, window_samples: int) -> None:
        """Make the windows of this batch as long as this, at most the model's window. What they hold is undefined."""
        size, num_channels = self._session.batch_size, self._num_channels
        self.windows: np.ndarray
        self._tensor: np.ndarray
        memory = self._memory[: size * num_channels * window_samples]
        if self._layout == "batch,channels,samples":
            self._tensor = memory.reshape(size, num_channels, window_samples)
            self.windows = self._tensor.transpose(0, 2, 1)
            return
        self.windows = memory.reshape(size, window_samples)
        axis = {"batch,1,samples": 1, "batch,samples,1": 2}.get(self._layout)
        self._tensor = self.windows if axis is None else np.expand_dims(self.windows, axis)

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

    def load(self, num_windows: int) -> None:
        """Copy the first ``num_windows`` to the GPU, while other slots run; on the CPU do nothing.

        If that fails, ``run`` does it again and reports it.
        """
        if self._session.gpu and num_windows <= self._session.most_windows:
            with contextlib.suppress(*FAILURES):
                self._loaded = self._copied(0, num_windows)

    def run(self, num_windows: int, output: str) -> np.ndarray:
        """Return one output of the graph for the first ``num_windows``, as float32. Raises ScoringFailed.

        If memory does not suffice, half of the windows are run at once from then on, down to single ones.
        """
        outputs = list[np.ndarray]()
        start = 0
        while start < num_windows:
            count = min(num_windows - start, self._session.most_windows)
            try:
                outputs.append(self._run_part(start, count, output))
            except FAILURES as error:
                self._buffers.clear()
                self._loaded = None
                self._session.halve(self._session.size_for(count), error)
            else:
                start += count
        whole = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        return whole.astype(np.float32, copy=False)

    def _run_part(self, start: int, count: int, output: str) -> np.ndarray:
        if self._session.gpu:
            buffers = self._loaded or self._copied(start, count)
            self._loaded = None
            with self._session.recording:
                return buffers.run(output)[:count]
        return self._session.run(self._batch(start, count), output)[:count]

    def _batch(self, start: int, count: int) -> np.ndarray:
        """Return so many windows, and silent ones up to the size of the batch in which they run."""
        missing = self._session.size_for(count) - count
        if missing and start == 0:
            self.windows[count : count + missing] = 0
        elif missing:
            return np.concatenate([self._tensor[start : start + count], np.zeros_like(self._tensor[:missing])])
        return self._tensor[start : start + count + missing]

    def _copied(self, start: int, count: int) -> Buffers:
        """Return buffers that hold so many windows on the GPU. Raises one of FAILURES."""
        batch = self._batch(start, count)
        size = len(batch)
        self._buffers = {kept: self._buffers[kept] for kept in self._buffers if kept <= self._session.most_windows}
        with self._session.recording:
            if size not in self._buffers:
                self._buffers[size] = self._session.buffers(size, batch.shape)
            self._buffers[size].load(batch)
        return self._buffers[size]


def activate(scores: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Return ``scores`` (any leading axes, num_labels) after the manifest's activation along the last axis."""
    if manifest.output.activation == "sigmoid":
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * scores)))
    if manifest.output.activation == "softmax":
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    return scores
