"""Models for tests: small graphs whose scores can be worked out by hand.

Each measures loudness: the mean absolute value of a window or frame, as a probability or a logit. They stand for the
models that a user brings, with other rates, layouts, hops and activations.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LOUD = 0.1  # mean absolute value at which a score reaches 0.5


def write_model(folder: Path, manifest: str, graph: onnx.GraphProto) -> Path:
    """Write model.onnx and manifest.toml, with ``{sha256}`` of the manifest filled in."""
    folder.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    (folder / "manifest.toml").write_text(manifest.replace("{sha256}", sha256), encoding="utf-8")
    return folder


def loudness_graph(
    *,
    input_shape: list[int | str],
    window_samples: int,
    frame_samples: int,
    num_frames: int,
    kind: str,
    logits: bool,
    any_length: bool = False,
) -> onnx.GraphProto:
    """Audio → mean absolute value of each frame → score.

    kind ``window``: (batch, labels); ``frame``: (batch, frames, labels). ``logits``: two columns, background and loud,
    whose softmax is 0.5 at LOUD; else one column, a probability of 0.5 at LOUD. With ``any_length`` the graph takes
    windows of any length, although its input declares one.
    """
    const = [
        numpy_helper.from_array(np.array([0, 1, -1] if any_length else [-1, 1, window_samples], np.int64), "flat"),
        numpy_helper.from_array(np.full((1, 1, frame_samples), 1 / frame_samples, np.float32), "mean"),
        numpy_helper.from_array(np.array(0.5 / LOUD, np.float32), "scale"),
        numpy_helper.from_array(np.array(1.0, np.float32), "one"),
        numpy_helper.from_array(np.array(0.0, np.float32), "zero"),
        # By way of large numbers, so that scores of what is louder than 1e27 are not finite.
        numpy_helper.from_array(np.array(2.0**40, np.float32), "large"),
        numpy_helper.from_array(np.array([[[0.0, 40.0 / 2**40]]], np.float32), "slope"),
        numpy_helper.from_array(np.array([[[0.0, -20.0]]], np.float32), "offset"),
        numpy_helper.from_array(np.array([1], np.int64), "frame_axis"),
    ]
    nodes = [
        helper.make_node("Reshape", ["audio", "flat"], ["line"]),
        helper.make_node("Abs", ["line"], ["rectified"]),
        helper.make_node("Conv", ["rectified", "mean"], ["level"], strides=[frame_samples]),
        helper.make_node("Mul", ["level", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["column"], perm=[0, 2, 1]),
    ]
    if logits:
        nodes += [
            helper.make_node("Mul", ["column", "large"], ["enlarged"]),
            helper.make_node("Mul", ["enlarged", "slope"], ["sloped"]),
            helper.make_node("Add", ["sloped", "offset"], ["frames"]),
        ]
    else:
        nodes.append(helper.make_node("Clip", ["column", "zero", "one"], ["frames"]))
    if kind == "window":
        nodes.append(helper.make_node("Squeeze", ["frames", "frame_axis"], ["scores"]))
    else:
        nodes.append(helper.make_node("Identity", ["frames"], ["scores"]))
    num_labels = 2 if logits else 1
    shape: list[int | str] = ["batch", num_labels] if kind == "window" else ["batch", num_frames, num_labels]
    return helper.make_graph(
        nodes,
        "loudness",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape)],
        const,
    )


def window_model(store: Path, name: str = "loud-windows", version: str = "1.0.0") -> Path:
    """16 kHz, one score for each window of 0.5 s, every 0.25 s."""
    graph = loudness_graph(
        input_shape=["batch", 8000], window_samples=8000, frame_samples=8000, num_frames=1, kind="window", logits=False
    )
    manifest = f"""
        name = "{name}"
        version = "{version}"
        task = "detection"
        licence = "CC0-1.0"
        sha256 = "{{sha256}}"
        [input]
        name = "audio"
        sample_rate_hz = 16000
        window_seconds = 0.5
        hop_seconds = 0.25
        [output]
        name = "scores"
        kind = "window"
        [[labels]]
        name = "loud"
    """
    return write_model(store / name / version, manifest, graph)


def frame_model(store: Path, name: str = "loud-frames", version: str = "1.0.0", label: str = "loud") -> Path:
    """22.05 kHz, input [batch, samples, 1], frames of 256 samples (11.61 ms), windows of 86 frames, hop of 43."""
    window = 86 * 256
    graph = loudness_graph(
        input_shape=["batch", window, 1],
        window_samples=window,
        frame_samples=256,
        num_frames=86,
        kind="frame",
        logits=False,
    )
    manifest = f"""
        name = "{name}"
        version = "{version}"
        task = "detection"
        licence = "CC0-1.0"
        sha256 = "{{sha256}}"
        [input]
        name = "audio"
        layout = "batch,samples,1"
        sample_rate_hz = 22050
        window_seconds = {window / 22050!r}
        hop_seconds = {43 * 256 / 22050!r}
        [output]
        name = "scores"
        kind = "frame"
        frame_hop_seconds = {256 / 22050!r}
        [[labels]]
        name = "{label}"
    """
    return write_model(store / name / version, manifest, graph)


def softmax_model(
    store: Path,
    name: str = "loud-softmax",
    version: str = "1.0.0",
    batch: int | str = "batch",
    any_length: bool = False,
) -> Path:
    """8 kHz, input [batch, 1, samples], frames of 10 ms, logits over background and loud."""
    graph = loudness_graph(
        input_shape=[batch, 1, 8000],
        window_samples=8000,
        frame_samples=80,
        num_frames=100,
        kind="frame",
        logits=True,
        any_length=any_length,
    )
    manifest = f"""
        name = "{name}"
        version = "{version}"
        task = "detection"
        licence = "CC0-1.0"
        sha256 = "{{sha256}}"
        [input]
        name = "audio"
        layout = "batch,1,samples"
        sample_rate_hz = 8000
        window_seconds = 1.0
        hop_seconds = 1.0
        [output]
        name = "scores"
        kind = "frame"
        frame_hop_seconds = 0.01
        activation = "softmax"
        [[labels]]
        name = "background"
        reported = false
        [[labels]]
        name = "loud"
    """
    return write_model(store / name / version, manifest, graph)


def mean_model(store: Path) -> Path:
    """8 kHz, any length, frames of 10 ms that all have the mean absolute value of the window."""
    nodes = [
        helper.make_node("Abs", ["audio"], ["rectified"]),
        helper.make_node("ReduceMean", ["rectified"], ["level"], axes=[1], keepdims=1),
        helper.make_node("Reshape", ["audio", "framed"], ["frames"]),
        helper.make_node("ReduceMean", ["frames"], ["column"], axes=[2], keepdims=1),
        helper.make_node("Mul", ["column", "zero"], ["zeros"]),
        helper.make_node("Unsqueeze", ["level", "last"], ["levels"]),
        helper.make_node("Add", ["zeros", "levels"], ["scores"]),
    ]
    const = [
        numpy_helper.from_array(np.array([0, -1, 80], np.int64), "framed"),
        numpy_helper.from_array(np.array(0.0, np.float32), "zero"),
        numpy_helper.from_array(np.array([2], np.int64), "last"),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", 8000])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "frames", 1])],
        const,
    )
    manifest = """
        name = "mean"
        version = "1.0.0"
        task = "detection"
        licence = "CC0-1.0"
        sha256 = "{sha256}"
        [input]
        name = "audio"
        sample_rate_hz = 8000
        window_seconds = 1.0
        hop_seconds = 1.0
        window_step_seconds = 0.1
        [output]
        name = "scores"
        kind = "frame"
        frame_hop_seconds = 0.01
        [[labels]]
        name = "loud"
    """
    return write_model(store / "mean" / "1.0.0", manifest, graph)


def bands_model(store: Path, name: str = "bands", version: str = "1.0.0") -> Path:
    """8 kHz, frames of 10 ms, windows of 4 s, hop of 3 s. It scores loudness, and its features are 8 log energies.

    The bands are 500 Hz wide. So a network can be trained on tones in seconds.
    """
    frame, window, bands = 80, 32_000, 8
    phase = 2 * np.pi * np.outer(np.arange(bands) * 500 + 250, np.arange(frame)) / 8000
    constants: dict[str, np.ndarray] = {
        "frames": np.array([0, -1, frame], np.int64),
        "cosines": np.cos(phase).T.astype(np.float32),
        "sines": np.sin(phase).T.astype(np.float32),
        "least": np.array(1e-2, np.float32),
        "scale": np.array(0.5 / LOUD, np.float32),
        "top": np.array(1, np.float32),
    }
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Reshape", ["audio", "frames"], "cut", {}),
        ("Abs", ["cut"], "size", {}),
        ("ReduceMean", ["size"], "level", {"axes": [2], "keepdims": 1}),
        ("Mul", ["level", "scale"], "scaled", {}),
        ("Min", ["scaled", "top"], "scores", {}),
        ("MatMul", ["cut", "cosines"], "real", {}),
        ("MatMul", ["cut", "sines"], "imaginary", {}),
        ("Mul", ["real", "real"], "real2", {}),
        ("Mul", ["imaginary", "imaginary"], "imaginary2", {}),
        ("Add", ["real2", "imaginary2"], "power", {}),
        ("Add", ["power", "least"], "audible", {}),
        ("Log", ["audible"], "energies", {}),
    ]
    outputs = {"scores": 1, "energies": bands}
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], **attributes) for kind, inputs, output, attributes in nodes],
        "bands",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", window])],
        [
            helper.make_tensor_value_info(o, TensorProto.FLOAT, ["batch", window // frame, n])
            for o, n in outputs.items()
        ],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    manifest = f"""
        name = "{name}"
        version = "{version}"
        task = "detection"
        licence = "CC0-1.0"
        sha256 = "{{sha256}}"
        [input]
        name = "audio"
        sample_rate_hz = 8000
        window_seconds = 4.0
        hop_seconds = 3.0
        [output]
        name = "scores"
        kind = "frame"
        frame_hop_seconds = 0.01
        features = "energies"
        [[labels]]
        name = "loud"
    """
    return write_model(store / name / version, manifest, graph)


def sides_model(store: Path, name: str = "sides", num_channels: int = 2) -> Path:
    """8 kHz, two channels, frames of 10 ms, any length: it scores how loud the difference of left and right is.

    With another number of channels the graph contradicts its manifest.
    """
    constants: dict[str, np.ndarray] = {
        "left": np.array(0, np.int64),
        "right": np.array(1, np.int64),
        "frames": np.array([0, -1, 80], np.int64),
        "scale": np.array(0.5 / LOUD, np.float32),
        "top": np.array(1, np.float32),
    }
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Gather", ["audio", "left"], "one", {"axis": 1}),
        ("Gather", ["audio", "right"], "other", {"axis": 1}),
        ("Sub", ["one", "other"], "difference", {}),
        ("Abs", ["difference"], "size", {}),
        ("Reshape", ["size", "frames"], "cut", {}),
        ("ReduceMean", ["cut"], "level", {"axes": [2], "keepdims": 1}),
        ("Mul", ["level", "scale"], "scaled", {}),
        ("Min", ["scaled", "top"], "scores", {}),
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], **attributes) for kind, inputs, output, attributes in nodes],
        "sides",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", num_channels, 8000])],
        [
            helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "frames", 1])
            for output in ("scores", "level")
        ],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    manifest = f"""
        name = "{name}"
        version = "1.0.0"
        task = "detection"
        licence = "CC0-1.0"
        sha256 = "{{sha256}}"
        [input]
        name = "audio"
        layout = "batch,channels,samples"
        sample_rate_hz = 8000
        window_seconds = 1.0
        hop_seconds = 0.5
        window_step_seconds = 0.1
        [output]
        name = "scores"
        kind = "frame"
        frame_hop_seconds = 0.01
        features = "level"
        [[labels]]
        name = "apart"
    """
    return write_model(store / name / "1.0.0", manifest, graph)
