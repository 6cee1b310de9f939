"""Makes model_store/sound: embeddings from the detector's hidden layer and log-mel, through fitted linear maps.

Run ``PYTHONPATH=scripts/train .venv/bin/python -m training.sound``, after ``scripts/train/fetch`` and
``scripts/bootstrap test``. Each window's features are pooled, over the frames of the recording alone, to their mean and
spread, and for the log-mel also to how much it changes from frame to frame. Each part, the hidden layer (``fault``) and
the log-mel (``sound``), has a map of its own: standardized, divided by the covariance of what damage changes (copy -
original), and cut to the directions in which recordings differ most.
The seed is fixed: run again with the same libraries, it writes the same file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import soundfile
import soxr
from onnx import TensorProto, helper, numpy_helper

from training.damaged_copies import DAMAGES, damaged
from training.places import ARTIFACTS, MODEL_STORE
from training.spectrum import training_files

VERSION = "1.1.0"
DETECTOR = "0.1.1"
RATE_HZ, FRAME_SAMPLES, NORMALIZED_HZ = 32_000, 320, 16_000
WINDOW_SECONDS = 4
WINDOW_FRAMES = WINDOW_SECONDS * 100
NUM_DIMENSIONS = 128
NUM_CLIPS, LEAST_SAMPLES = 330, 3200


@dataclass(frozen=True)
class Part:
    """Columns of head_features, and how they are mapped.

    ``moves``: how much they change is used too. ``shrinkage``: of the covariance towards a sphere, since its directions
    outnumber the clips. ``whitening``: 0 leaves the directions as far apart as they are, 1 makes all equal.
    """

    first: int
    last: int
    moves: bool
    shrinkage: float
    whitening: float

    @property
    def size(self) -> int:
        """The number of statistics."""
        return (2 + self.moves) * (self.last - self.first)


PARTS = {"fault": Part(0, 256, False, 0.1, 0.0), "sound": Part(256, 384, True, 0.03, 0.3)}

MANIFEST = """\
name = "sound"
version = "{version}"
task = "embedding"
description = "Embeds recordings by what they sound like and by the faults in them, from the detector artifacts."
licence = "as artifacts {detector}, whose weights it contains; see its MODEL_CARD.md"
sha256 = "{sha256}"

[input]
name = "waveform"
layout = "batch,samples"
sample_rate_hz = 32000
window_seconds = {window}.0
hop_seconds = {window}.0

[output]
name = "embedding"
kind = "window"

[output.parts]
{parts}
"""


def main() -> None:
    """Fit and write the model."""
    originals, copies = statistics_of(training_files())
    maps = {}
    column = 0
    for name, part in PARTS.items():
        mine = slice(column, column + part.size)
        maps[name] = fit_map(part, originals[:, mine], copies[:, :, mine])
        column += part.size
    data = embedding_graph(maps).SerializeToString(deterministic=True)
    folder = MODEL_STORE / "sound" / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(data)
    parts = "\n".join(f"{part} = {NUM_DIMENSIONS}" for part in PARTS)
    digest = hashlib.sha256(data).hexdigest()
    manifest = MANIFEST.format(version=VERSION, detector=DETECTOR, sha256=digest, window=WINDOW_SECONDS, parts=parts)
    (folder / "manifest.toml").write_text(manifest)
    print(f"fitted on {len(originals)} clips and {len(DAMAGES) * len(originals)} copies; {len(data) / 1e6:.2f} MB")


def statistics_of(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return the statistics of clips, (num_clips, size), and of their copies, (num_clips, num_damages, size)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        embedding_graph(None).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    rows = []
    for number in np.random.default_rng(5).permutation(len(files))[:NUM_CLIPS]:
        clip = clip_of(files[number], rng)
        if np.abs(clip).max(initial=0.0) < 1e-3 or len(clip) < LEAST_SAMPLES:
            continue
        waves = [clip, *(damaged(name, rng, clip, RATE_HZ) for name in DAMAGES)]
        windows = np.stack([window_of(wave) for wave in waves])
        rows.append(np.concatenate([session.run(None, {"waveform": window[None]})[0] for window in windows]))
    table = np.stack(rows)
    return table[:, 0], table[:, 1:]


def clip_of(file: Path, rng: np.random.Generator) -> np.ndarray:
    """Return up to WINDOW_SECONDS from somewhere in a file: (num_samples,) float32 at RATE_HZ."""
    info = soundfile.info(file)
    frames = min(info.frames, WINDOW_SECONDS * info.samplerate)
    start = int(rng.integers(info.frames - frames + 1))
    audio = soundfile.read(file, dtype="float32", always_2d=True, start=start, frames=frames)[0]
    return soxr.resample(audio.mean(axis=1), info.samplerate, RATE_HZ)


def window_of(wave: np.ndarray) -> np.ndarray:
    """Return a wave as the appliance embeds it, through its 16 kHz copy, padded with zeros to a window."""
    mono = soxr.resample(soxr.resample(wave, RATE_HZ, NORMALIZED_HZ), NORMALIZED_HZ, RATE_HZ)
    out = np.zeros(WINDOW_FRAMES * FRAME_SAMPLES, np.float32)
    out[: min(len(out), len(mono))] = mono[: len(out)]
    return out


def fit_map(part: Part, originals: np.ndarray, copies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the offset and the map (size, NUM_DIMENSIONS) of one part.

    originals : (num_clips, size). copies : (num_clips, num_damages, size).
    """
    offset, scale = originals.mean(axis=0), originals.std(axis=0) + 1e-4
    x = (originals - offset) / scale
    change = ((copies - originals[:, None]) / scale).reshape(-1, x.shape[1])
    covariance = change.T @ change / len(change)
    covariance += part.shrinkage * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    whitening = vectors / np.sqrt(values) @ vectors.T
    values, vectors = np.linalg.eigh(np.cov(x @ whitening, rowvar=False))
    largest = np.argsort(values)[::-1][:NUM_DIMENSIONS]
    leading = vectors[:, largest] * values[largest] ** (-part.whitening / 2)
    return offset.astype(np.float32), ((whitening @ leading) / scale[:, None]).astype(np.float32)


def embedding_graph(maps: dict[str, tuple[np.ndarray, np.ndarray]] | None) -> onnx.ModelProto:
    """Return the graph from a waveform to (batch, 2 * NUM_DIMENSIONS); without maps, to the pooled statistics.

    Each part of a vector has the length of the share of the window that the recording fills, so that the mean over
    windows weighs a short last one by what it holds. Zeros after the last sound are not of the recording.
    """
    detector = onnx.load(ARTIFACTS / DETECTOR / "model.onnx")
    model = onnx.utils.Extractor(detector).extract_model(["waveform"], ["head_features"])
    graph = model.graph
    constants = {
        "frames": np.array([0, -1, FRAME_SAMPLES], np.int64),
        "none": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "tiny": np.array(1e-9, np.float32),
        "time": np.array(1, np.int64),
        "start": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "before_last": np.array([-1], np.int64),
        "end": np.array([WINDOW_FRAMES], np.int64),
        "axis1": np.array([1], np.int64),
        "axis2": np.array([2], np.int64),
    }

    def add(kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        graph.node.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    add("Abs", [add("Reshape", ["waveform", "frames"], "pool_frames")], "pool_size")
    add("ReduceMax", ["pool_size"], "pool_peak", axes=[2], keepdims=0)
    add("Cast", [add("Greater", ["pool_peak", "none"], "pool_sounds")], "pool_heard", to=TensorProto.FLOAT)
    add("CumSum", ["pool_heard", "time"], "pool_still", reverse=1)
    add("Cast", [add("Greater", ["pool_still", "none"], "pool_real")], "pool_mask", to=TensorProto.FLOAT)
    add("ReduceMean", ["pool_mask"], "pool_share", axes=[1], keepdims=1)
    add("ReduceSum", ["pool_mask", "axis1"], "pool_sum", keepdims=1)
    add("Max", ["pool_sum", "one"], "pool_count")
    add("Unsqueeze", ["pool_count", "axis2"], "pool_count3")
    add("Div", [add("Unsqueeze", ["pool_mask", "axis2"], "pool_mask3"), "pool_count3"], "pool_weight")
    add("Slice", ["pool_mask3", "second", "end", "axis1"], "pool_moves")
    add("Max", [add("Sub", ["pool_sum", "one"], "pool_moves_sum"), "one"], "pool_moves_count")
    outputs = []
    for part, how in PARTS.items():
        constants |= {f"{part}_first": np.array([how.first], np.int64), f"{part}_last": np.array([how.last], np.int64)}
        x = add("Slice", ["head_features", f"{part}_first", f"{part}_last", "axis2"], f"{part}_features")
        mean = add("ReduceSum", [add("Mul", [x, "pool_weight"], f"{part}_weighted"), "axis1"], f"{part}_mean3")
        away = add("Sub", [x, mean], f"{part}_away")
        square = add("Mul", [add("Mul", [away, away], f"{part}_square"), "pool_weight"], f"{part}_spread2")
        spread = add("Sqrt", [add("ReduceSum", [square, "axis1"], f"{part}_variance", keepdims=0)], f"{part}_spread")
        mean = add("Squeeze", [mean, "axis1"], f"{part}_mean")
        pools = [mean, spread]
        if how.moves:
            later = add("Slice", [x, "second", "end", "axis1"], f"{part}_later")
            earlier = add("Slice", [x, "start", "before_last", "axis1"], f"{part}_earlier")
            size = add("Abs", [add("Sub", [later, earlier], f"{part}_step")], f"{part}_step_size")
            whole = add(
                "ReduceSum", [add("Mul", [size, "pool_moves"], f"{part}_steps"), "axis1"], f"{part}_way", keepdims=0
            )
            pools.append(add("Div", [whole, "pool_moves_count"], f"{part}_speed"))
        pooled = add("Concat", pools, f"{part}_pooled", axis=1)
        if maps is None:
            outputs.append(pooled)
            continue
        constants |= {f"{part}_offset": maps[part][0], f"{part}_map": maps[part][1]}
        centred = add("Sub", [pooled, f"{part}_offset"], f"{part}_centred")
        mapped = add("MatMul", [centred, f"{part}_map"], f"{part}_mapped")
        length = add("Add", [add("ReduceL2", [mapped], f"{part}_length0", axes=[1]), "tiny"], f"{part}_length")
        unit = add("Div", [mapped, length], f"{part}_unit")
        outputs.append(add("Mul", [unit, "pool_share"], f"{part}_vector"))
    add("Concat", outputs, "embedding", axis=1)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    del graph.output[:]
    width = len(PARTS) * NUM_DIMENSIONS if maps else sum(part.size for part in PARTS.values())
    graph.output.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", width]))
    shape = graph.input[0].type.tensor_type.shape
    shape.dim[1].dim_value = WINDOW_FRAMES * FRAME_SAMPLES
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    main()
