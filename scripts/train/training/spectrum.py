"""Makes model_store/spectrum: embeddings from log-mel statistics, whitened on the training recordings.

Run ``PYTHONPATH=scripts/train .venv/bin/python -m training.spectrum``, after ``scripts/train/fetch`` and
``scripts/bootstrap test``. No network is trained. The graph measures each window's spectral shape, its spread and its
speed of change. A linear map fitted on recordings (PCA whitening) makes the cosine of two vectors tell recordings
apart. The seed is fixed: run again with the same libraries, it writes the same file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import soundfile
import soxr
from onnx import TensorProto, helper, numpy_helper

from training.places import MODEL_STORE, SOURCES

VERSION = "1.0.0"
RATE_HZ = 16_000
WINDOW_SAMPLES = RATE_HZ
FRAME_SAMPLES, HOP_SAMPLES = 512, 160
NUM_BANDS, LOWEST_HZ, HIGHEST_HZ = 40, 50.0, 5500.0  # below what low bit rates cut off
NUM_DIMENSIONS = 64
WINDOWS_PER_FILE = 40

MANIFEST = """\
name = "spectrum"
version = "{version}"
task = "embedding"
description = "Embeds recordings by their spectral shape, its spread and its speed of change."
licence = "CC0-1.0"
sha256 = "{sha256}"

[input]
name = "waveform"
layout = "batch,samples"
sample_rate_hz = 16000
window_seconds = 1.0
hop_seconds = 1.0

[output]
name = "embedding"
kind = "window"
"""


def main() -> None:
    """Fit and write the model."""
    folder = MODEL_STORE / "spectrum" / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    files = training_files()
    statistics = measure(files)
    offset, whitening = whiten(statistics)
    data = graph(offset, whitening).SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    manifest = MANIFEST.format(version=VERSION, sha256=hashlib.sha256(data).hexdigest())
    (folder / "manifest.toml").write_text(manifest)
    print(f"fitted on {len(statistics)} windows of {len(files)} files; {len(data) / 1e6:.2f} MB")


def training_files() -> list[Path]:
    """Return up to 120 recordings of each training package, of those that soundfile reads."""
    kinds = {".wav", ".ogg", ".flac"}
    files = sorted(path for path in SOURCES.rglob("*") if path.suffix.lower() in kinds and path.is_file())
    if not files:
        raise SystemExit(f"There are no recordings in {SOURCES}: run scripts/train/fetch first.")
    by_package: dict[str, list[Path]] = {}
    for path in files:
        by_package.setdefault(path.relative_to(SOURCES).parts[0], []).append(path)
    rng = np.random.default_rng(0)
    return [p for group in by_package.values() for p in rng.permutation(np.array(group, object))[:120]]


def measure(files: list[Path]) -> np.ndarray:
    """Return the statistics of some windows of each file: (num_windows, 3 * NUM_BANDS)."""
    session = onnxruntime.InferenceSession(graph(None, None).SerializeToString(), providers=["CPUExecutionProvider"])
    rows = []
    for file in files:
        windows = windows_of(file)
        if len(windows):
            rows.append(session.run(None, {"waveform": windows})[0])
    return np.concatenate(rows)


def windows_of(file: Path) -> np.ndarray:
    """Return up to WINDOWS_PER_FILE windows, spread over a file: (num_windows, WINDOW_SAMPLES) float32."""
    audio, rate = soundfile.read(file, dtype="float32", always_2d=True, frames=rate_limit(file))
    mono = soxr.resample(audio.mean(axis=1), rate, RATE_HZ)
    count = len(mono) // WINDOW_SAMPLES
    chosen = np.linspace(0, count - 1, min(count, WINDOWS_PER_FILE)).astype(int)
    windows = mono[: count * WINDOW_SAMPLES].reshape(-1, WINDOW_SAMPLES)[chosen]
    return windows[np.abs(windows).max(axis=1, initial=0.0) > 1e-3]


def rate_limit(file: Path) -> int:
    """Return the number of samples in two minutes of a file."""
    return 120 * soundfile.info(file).samplerate


def whiten(statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the map to NUM_DIMENSIONS uncorrelated directions of unit variance."""
    mean = statistics.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(statistics - mean, rowvar=False))
    largest = np.argsort(values)[::-1][:NUM_DIMENSIONS]
    # The floor keeps directions that hardly vary, and so hold little but noise, from being blown up.
    scale = 1 / np.sqrt(values[largest] + 0.01 * values.mean())
    return mean.astype(np.float32), (vectors[:, largest] * scale).astype(np.float32)


def graph(offset: np.ndarray | None, whitening: np.ndarray | None) -> onnx.ModelProto:
    """Return the graph from a waveform (batch, samples) to unit vectors (batch, NUM_DIMENSIONS).

    Without the mean and the map, its output is the statistics (batch, 3 * NUM_BANDS).
    """
    constants = {
        "shape": np.array([-1, 1, WINDOW_SAMPLES], np.int64),
        "fourier": fourier_kernels(),
        "mel": mel_filters()[:, :, None],
        "range": np.array(1e-6, np.float32),
        "least": np.array(1e-8, np.float32),
        "axis2": np.array([2], np.int64),
        "one": np.array([1], np.int64),
        "zero": np.array([0], np.int64),
        "minus1": np.array([-1], np.int64),
        "big": np.array([10_000], np.int64),
    }
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Reshape", ["waveform", "shape"], "line", {}),
        ("Conv", ["line", "fourier"], "spectrum", {"strides": [HOP_SAMPLES]}),
        ("Mul", ["spectrum", "spectrum"], "squares", {}),
        # Each band sums its bins' real and imaginary squares: so the filters are there twice.
        ("Conv", ["squares", "mel"], "power", {}),
        ("ReduceMax", ["power"], "loudest", {"axes": [1, 2], "keepdims": 1}),
        ("Mul", ["loudest", "range"], "floor0", {}),
        ("Add", ["floor0", "least"], "floor", {}),
        ("Max", ["power", "floor"], "audible", {}),
        ("Log", ["audible"], "log", {}),
        ("ReduceMean", ["log"], "level", {"axes": [1, 2], "keepdims": 1}),
        ("Sub", ["log", "level"], "shape_over_time", {}),
        ("ReduceMean", ["shape_over_time"], "mean_kept", {"axes": [2], "keepdims": 1}),
        ("Squeeze", ["mean_kept", "axis2"], "mean", {}),
        ("Sub", ["shape_over_time", "mean_kept"], "swing", {}),
        ("Abs", ["swing"], "swing_size", {}),
        ("ReduceMean", ["swing_size"], "spread", {"axes": [2], "keepdims": 0}),
        ("Slice", ["swing", "one", "big", "axis2"], "later", {}),
        ("Slice", ["swing", "zero", "minus1", "axis2"], "earlier", {}),
        ("Sub", ["later", "earlier"], "step", {}),
        ("Abs", ["step"], "step_size", {}),
        ("ReduceMean", ["step_size"], "speed", {"axes": [2], "keepdims": 0}),
        ("Concat", ["mean", "spread", "speed"], "statistics", {"axis": 1}),
    ]
    if offset is None or whitening is None:
        output, size = "statistics", 3 * NUM_BANDS
    else:
        constants |= {"offset": offset, "whitening": whitening, "tiny": np.array(1e-9, np.float32)}
        nodes += [
            ("Sub", ["statistics", "offset"], "centred", {}),
            ("MatMul", ["centred", "whitening"], "white", {}),
            ("ReduceL2", ["white"], "length0", {"axes": [1], "keepdims": 1}),
            ("Add", ["length0", "tiny"], "length", {}),
            ("Div", ["white", "length"], "embedding", {}),
        ]
        output, size = "embedding", NUM_DIMENSIONS
    network = helper.make_graph(
        [helper.make_node(kind, inputs, [name], **attributes) for kind, inputs, name, attributes in nodes],
        "spectrum",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", WINDOW_SAMPLES])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", size])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(network, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def fourier_kernels() -> np.ndarray:
    """Return windowed cosines and sines: (2 * num_bins, 1, FRAME_SAMPLES)."""
    bins = np.arange(FRAME_SAMPLES // 2 + 1)[:, None]
    phase = 2 * np.pi * bins * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES
    kernels = np.concatenate([np.cos(phase), np.sin(phase)]) * np.hanning(FRAME_SAMPLES)
    return kernels[:, None, :].astype(np.float32)


def mel_filters() -> np.ndarray:
    """Return triangles over the squares of cosines and sines: (NUM_BANDS, 2 * num_bins)."""
    lowest_mel, highest_mel = (float(2595 * np.log10(1 + f / 700)) for f in (LOWEST_HZ, HIGHEST_HZ))
    edges_mel = np.linspace(lowest_mel, highest_mel, NUM_BANDS + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    frequencies = np.arange(FRAME_SAMPLES // 2 + 1) * RATE_HZ / FRAME_SAMPLES
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    nearest = np.abs(frequencies - edges[1:-1, None]).argmin(axis=1)
    filters[np.arange(NUM_BANDS), nearest] += filters.sum(axis=1) == 0  # a low band narrower than a bin
    return np.tile(filters, 2).astype(np.float32)


if __name__ == "__main__":
    main()
