"""The program that loads a model for the first time: models come from outside, and the code that reads them is C++.

``registration`` starts it as ``python -m appliance.engine.model_check FOLDER MEMORY_BYTES SECONDS``. It reads the
model's files, confines itself as a decoder does, and compares the manifest with the graph. Its answer on its output
is JSON: null, or a sentence with the field that contradicts the graph.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.random  # numpy imports it at its first use, when this process can open nothing

from appliance.engine.confinement.confine import confine, limit_resources
from appliance.engine.models.manifest import read_manifest
from appliance.engine.models.session import Session
from appliance.engine.models.speech_manifest import SpeechManifest
from appliance.engine.models.store import MANIFEST, StoredModel, check_checksum, check_files
from appliance.engine.speech.transcriber import check_speech
from appliance.errors import InvalidManifest, ModelError, ScoringFailed

SCORE_TOLERANCE = 0.01


def main() -> None:
    """Check one model and print the answer."""
    folder, memory_bytes, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # onnxruntime starts as many threads; none is allowed
    limit_resources(memory_bytes)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        model = StoredModel(read_manifest(folder / MANIFEST), folder)
        check_files(model)
        model = replace(model, contents={path.name: path.read_bytes() for path, _ in model.checksums.values()})
        check_checksum(model)
        confine()
        compare(model)
        fault = None
    except ModelError as error:
        fault = str(error)
    except MemoryError:
        fault = f"{folder}: the model needs more than {memory_bytes // 1024**2} MiB of memory."
    print(json.dumps(fault), flush=True)
    os._exit(0)  # the libraries' own ends may need what is no longer allowed


def compare(model: StoredModel) -> None:
    """Compare the manifest with the graph, by running it. Raises InvalidManifest with the field in its message."""
    if isinstance(model.manifest, SpeechManifest):
        check_speech(model)
        return
    session = Session(model, "cpu")
    _check_input(model, session)
    _check_output(model, session)
    if model.scoring.task == "detection":
        _check_scores(model, session)
        _check_features(model, session)
        _check_shorter_window(model, session)
    if model.scoring.task == "embedding":
        _check_vectors(model, session)


def _check_input(model: StoredModel, session: Session) -> None:
    source = model.scoring.input
    if session.input_type != "tensor(float)":
        raise _fault(model, "input.name", f"the graph's input is {session.input_type}; it must be tensor(float)")
    shape = session.input_shape
    if len(shape) != len(source.layout.split(",")):
        raise _fault(model, "input.layout", f"the graph's input has the shape {shape}")
    for axis, size in zip(source.layout.split(","), shape, strict=True):
        num_expected = {"1": 1, "channels": source.num_channels}.get(axis)
        if num_expected and isinstance(size, int) and size != num_expected:
            raise _fault(model, "input.layout", f"the graph's input has the shape {shape}")
        if axis == "samples" and isinstance(size, int) and size != source.window_samples:
            raise _fault(
                model,
                "input.window_seconds",
                f"a window has {source.window_samples} samples at {source.sample_rate_hz} Hz, the graph needs {size}",
            )


def _check_output(model: StoredModel, session: Session) -> None:
    output = model.scoring.output
    for key, name in (("name", output.name), ("embedding", output.embedding), ("features", output.features)):
        if name is not None and name not in session.output_shapes:
            raise _fault(model, f"output.{key}", f"the graph's outputs are {', '.join(session.output_shapes)}")


def _check_scores(model: StoredModel, session: Session) -> None:
    """Score one window of noise and compare the scores with the manifest."""
    manifest = model.scoring
    slot = session.slots[0]
    slot.windows[0] = 0.1 * np.random.default_rng(0).standard_normal(slot.windows.shape[1:])
    try:
        shape = slot.run(1, manifest.output.name).shape
    except ScoringFailed as error:
        raise _fault(model, "input", str(error)) from error
    if len(shape) != (2 if manifest.output.kind == "window" else 3):
        raise _fault(model, "output.kind", f"the graph's output has the shape {shape}")
    if shape[-1] != len(manifest.labels):
        raise _fault(model, "labels", f"the manifest has {len(manifest.labels)}, the graph scores {shape[-1]}")
    covered_ms = shape[1] * manifest.frame_hop_ms if manifest.output.kind == "frame" else manifest.frame_hop_ms
    if abs(covered_ms - 1000 * manifest.input.window_seconds) > 2 * manifest.frame_hop_ms:
        raise _fault(
            model,
            "output.frame_hop_seconds",
            f"{shape[1]} frames cover {covered_ms:.1f} ms of a window of {1000 * manifest.input.window_seconds:.1f} ms",
        )
    scores = slot.score(1)
    if not np.isfinite(scores).all():
        raise _fault(model, "output.name", "the scores are not finite")
    if scores.min() < 0 or scores.max() > 1:
        raise _fault(model, "output.activation", f"scores are {scores.min():.3g} to {scores.max():.3g}, not 0 to 1")


def _check_features(model: StoredModel, session: Session) -> None:
    """Compare the features of a window of noise with its scores: both have the same frames."""
    output, slot = model.scoring.output, session.slots[0]
    if output.features is None:
        return
    if output.kind != "frame":
        raise _fault(model, "output.features", "it must be set only if output.kind is frame")
    features = slot.run(1, output.features)
    if features.ndim != 3 or features.shape[1] != slot.run(1, output.name).shape[1]:
        raise _fault(model, "output.features", f"the graph's output has the shape {features.shape}")
    if not np.isfinite(features).all():
        raise _fault(model, "output.features", "the features are not finite")


def _check_shorter_window(model: StoredModel, session: Session) -> None:
    """Score noise that is followed by silence, in a whole window and in the shortest one that it may have."""
    source, slot = model.scoring.input, session.slots[0]
    noise = 0.1 * np.random.default_rng(0).standard_normal((source.window_samples // 4, *slot.windows.shape[2:]))
    length = source.last_window_samples(len(noise))
    if length == source.window_samples:
        return
    scores = []
    for num_samples in (length, source.window_samples):
        slot.resize(num_samples)
        slot.windows[0] = 0
        slot.windows[0, : len(noise)] = noise
        try:
            scores.append(slot.score(1)[0])
        except ScoringFailed as error:
            raise _fault(model, "input.window_step_seconds", f"of {num_samples} samples: {error}") from error
    num_frames = min(int(1000 * len(noise) / source.sample_rate_hz / model.scoring.frame_hop_ms), len(scores[0]))
    difference = float(np.abs(scores[0][:num_frames] - scores[1][:num_frames]).max(initial=0.0))
    if difference > SCORE_TOLERANCE:
        raise _fault(
            model, "input.tail_seconds", f"the scores of a shorter window differ by {difference:.2g} from a whole one's"
        )


def _check_vectors(model: StoredModel, session: Session) -> None:
    """Embed one window of silence."""
    try:
        vectors = session.slots[0].embed(1)
    except ScoringFailed as error:
        raise _fault(model, "output.name", str(error)) from error
    parts = model.scoring.output.parts
    if parts and sum(parts.values()) != vectors.shape[1]:
        raise _fault(model, "output.parts", f"their sum is {sum(parts.values())}, a vector has {vectors.shape[1]}")
    if not np.isfinite(vectors).all():
        raise _fault(model, "output.name", "the vector of silence is not finite")


def _fault(model: StoredModel, field: str, message: str) -> InvalidManifest:
    return InvalidManifest(f"{model.folder / MANIFEST}: {field}: {message}.")


if __name__ == "__main__":
    main()
