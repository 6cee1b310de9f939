"""The only module that imports onnxruntime: which provider really works, and how a graph is opened.

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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from appliance.errors import InvalidManifest, ProviderUnavailable

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, while the library loads
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

Provider = Literal["cuda", "cpu"]
RUNTIME_VERSION: str = onnxruntime.__version__
CUDA_MAJOR: str = onnxruntime.cuda_version.partition(".")[0]  # of the CUDA libraries that onnxruntime loads

PROBE = Path(__file__).with_name("probe.onnx")
# A convolution is planned again whenever its shape changes; a search by heuristics makes that cheap. Shapes are fixed,
# so memory is taken as it is needed.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
FAILURES: tuple[type[Exception], ...] = (
    *(error for error in vars(ort_errors).values() if isinstance(error, type) and issubclass(error, Exception)),
    OSError,
    RuntimeError,
    ValueError,
)
LOAD_FAILURES: tuple[type[Exception], ...] = (*FAILURES, InvalidManifest)
# What onnxruntime, CUDA, cuDNN, cuBLAS and C++ say. It has no class of its own.
OUT_OF_MEMORY = re.compile(r"failed to allocate memory|out of memory|alloc_failed|bad_alloc", re.IGNORECASE)


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


def open_graph(
    content: bytes,
    provider: Provider,
    num_threads: int,
    *,
    sizes: Mapping[str, int] | None = None,
    cuda_options: Mapping[str, str] | None = None,
) -> onnxruntime.InferenceSession:
    """Return a session for a graph in ONNX or in onnxruntime's own format.

    ``sizes`` fixes axes of its inputs and outputs by their names. Raises one of FAILURES if the graph does not load,
    ProviderUnavailable if CUDA falls back to the CPU.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    # Threads that spin while they wait would take CPU time from the decoders.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    for name, size in (sizes or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    providers: list[str | tuple[str, dict[str, str]]] = ["CPUExecutionProvider"]
    if provider == "cuda":
        providers.insert(0, ("CUDAExecutionProvider", {**CUDA_OPTIONS, **(cuda_options or {})}))
    session = onnxruntime.InferenceSession(content, options, providers=providers)
    if provider == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise ProviderUnavailable("a graph fell back to the CPU.")
    return session


class Buffers:
    """The input and the outputs of a graph on the device, for batches of one shape: bound once, filled for each batch.

    An input in the memory of the CPU would be copied when it is bound and never again, so it is bound on the device.
    For one thread at a time.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, provider: Provider, input_name: str, shape: Sequence[int]
    ) -> None:
        """Take the memory for an input of float32. Raises one of FAILURES if there is not enough."""
        self._session = session
        self._device = provider
        self._input_name = input_name
        self._input = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, provider)
        self._bound: dict[str, tuple[onnxruntime.IOBinding, onnxruntime.OrtValue]] = {}

    def load(self, batch: np.ndarray) -> None:
        """Copy a batch to the device, also while another one runs."""
        self._input.update_inplace(batch)

    def run(self, output: str) -> np.ndarray:
        """Run the graph on the batch that was loaded, and return a copy of one output."""
        if output not in self._bound:
            self._bound[output] = self._bind(output)
        binding, value = self._bound[output]
        self._session.run_with_iobinding(binding)
        return np.array(value.numpy())

    def _bind(self, output: str) -> tuple[onnxruntime.IOBinding, onnxruntime.OrtValue]:
        """Run the graph once, which shows how large the output is, and keep the output's memory."""
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._input_name, self._input)
        binding.bind_output(output, self._device)
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("gpu_graph_id", "-1")  # a CUDA graph is recorded later, with the memory that stays
        self._session.run_with_iobinding(binding, options)
        value = binding.get_outputs()[0]
        binding.bind_ortvalue_output(output, value)
        return binding, value
