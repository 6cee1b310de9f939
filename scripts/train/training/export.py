"""Exports a fitted network to model_store/artifacts/<version>/: calibrated, as one graph, with manifest and card."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from training import calibrate, recordings
from training.card import development, development_packages, fitted_on, write_card
from training.clips import CLIP_SAMPLES, CLIP_SECONDS
from training.events import Rule, detect
from training.features import session
from training.fit import dev_scores, dev_spans, tally_of
from training.labels import FRAME_HOP_SAMPLES, LABELS, SAMPLE_RATE_HZ
from training.network import Detector, fitted
from training.places import ARTIFACTS, WORK

# What may be added to a label's calibrated logits, so that few alarms cost as little F1 as they can.
SHIFTS = (0.0, 0.2, -0.2, 0.4, -0.4, -0.6, -0.8, -1.0, -1.2)
# On clean development audio, recordings and rendered lookalikes together: well under the ten that are allowed
# elsewhere, since recordings that are unknown to the calibration raise more.
MOST_ALARMS_PER_HOUR = 3.25

OUTPUTS = ("scores", "embedding", "head_features")


def halve(path: Path) -> None:
    """Store the convolutions' weights as float16, half the bytes; the graph casts them back when it is loaded.

    The front end's matrices stay float32: near silence they need all their digits.
    """
    model = onnx.load(path)
    kernels = {node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    casts = []
    for tensor in model.graph.initializer:
        if tensor.name in kernels:
            name, half = tensor.name, onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}.half"))
            casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def write_graph(detector: Detector, path: Path) -> None:
    """Trace the detector to ONNX with an open batch axis and halved weights, and check the graph against it."""
    detector.eval()
    torch.onnx.export(
        detector,
        (torch.zeros(2, CLIP_SAMPLES),),
        path,
        input_names=["waveform"],
        output_names=list(OUTPUTS),
        dynamic_axes={name: {0: "batch"} for name in ("waveform", *OUTPUTS)},
        opset_version=17,
        dynamo=False,
    )
    halve(path)
    probe = np.random.default_rng(0).normal(0, 0.1, (3, CLIP_SAMPLES)).astype(np.float32)
    got = session(path).run(["scores"], {"waveform": probe})[0]
    with torch.no_grad():
        want = detector(torch.from_numpy(probe))[0].numpy()
    if np.abs(got - want).max() > 1e-2:
        raise RuntimeError(f"the graph differs from the network by {np.abs(got - want).max()}")


def speed(path: Path) -> float:
    """Return the seconds of audio that onnxruntime scores per second.

    On two threads, overlap counted, at the best of three batch sizes.
    """
    best = 0.0
    ort = session(path)
    for batch in (1, 2, 4):
        x = np.random.default_rng(0).normal(0, 0.1, (batch, CLIP_SAMPLES)).astype(np.float32)
        ort.run(["scores"], {"waveform": x})
        began = time.perf_counter()
        for _ in range(8):
            ort.run(["scores"], {"waveform": x})
        best = max(best, 8 * batch * recordings.HOP_SECONDS / (time.perf_counter() - began))
    return best


def manifest(digest: str, version: str) -> str:
    """Return the text of the manifest."""
    lines = [
        'name = "artifacts"',
        f'version = "{version}"',
        'task = "detection"',
        'description = "Clicks, dropouts, glitches, clipping, mains hum and noise bursts in recordings of any kind"',
        'licence = "trained on recordings under GPL, GFDL, CC-BY-SA, CC-BY, CC0 and BSD-like terms; see MODEL_CARD.md"',
        f'sha256 = "{digest}"',
        "",
        "[input]",
        'name = "waveform"',
        'layout = "batch,samples"',
        f"sample_rate_hz = {SAMPLE_RATE_HZ}",
        f"window_seconds = {float(CLIP_SECONDS)}",
        f"hop_seconds = {float(recordings.HOP_SECONDS)}",
        "window_step_seconds = 0.2",  # the front end's groups of frames
        "tail_seconds = 0.8",  # with 0.6, one clip in 157 got other detections than from whole windows
        "",
        "[output]",
        'name = "scores"',
        'kind = "frame"',
        f"frame_hop_seconds = {FRAME_HOP_SAMPLES / SAMPLE_RATE_HZ}",
        'activation = "none"',
        'embedding = "embedding"',
        'features = "head_features"',
        "",
        "[defaults]",
        "threshold = 0.5",
        "merge_window_ms = 200",
        "min_duration_ms = 50",
    ]
    for label in LABELS:
        lines += ["", "[[labels]]", f'name = "{label}"'] + (["point = true"] if label == "click" else [])
    return "\n".join(lines) + "\n"


def clean_scores(name: str, network: nn.Module, minutes: float = 120.0) -> list[np.ndarray]:
    """Return the uncalibrated scores (frames, labels) of clean development recordings.

    They are kept beside the weights.
    """
    kept = WORK / f"{name}-clean.npz"
    plain = WORK / f"{name}-plain.onnx"
    newest = max((WORK / f"{member}.pt").stat().st_mtime for member in name.split("+"))
    if not kept.exists() or kept.stat().st_mtime < newest:
        write_graph(Detector(network, torch.ones(len(LABELS)), torch.zeros(len(LABELS))), plain)
        ort = session(plain)
        parts = [
            recordings.score(audio, lambda x: ort.run(["scores"], {"waveform": x})[0])
            for _, audio in recordings.clean_recordings("dev", minutes)
        ]
        np.savez(kept, *[part.astype(np.float32) for part in parts])
        plain.unlink()
    with np.load(kept) as stored:
        return [stored[key] for key in stored.files]


def measure(scores: np.ndarray, spans: list, clean: list[np.ndarray], curves: dict, rules: dict) -> dict:
    """Return the figures of calibrated scores on the development split, for the card and the log."""
    calibrated = calibrate.apply(scores, curves)
    tally = tally_of(calibrated, spans, rules)
    faultless = [*clean, *(part for part, true in zip(scores, spans, strict=True) if not true)]
    alarms = dict.fromkeys(LABELS, 0)
    hours = sum(len(part) for part in faultless) / 100 / 3600
    for part in faultless:
        for event in detect(calibrate.apply(part, curves), rules):
            alarms[event.label] += 1
    return {
        "table": tally.table(),
        "macro": tally.macro_f1,
        "f1": {label: tally.f1(label) for label in LABELS},
        "clean_hours": hours,
        "alarms": alarms,
        "alarms_per_hour": sum(alarms.values()) / hours,
    }


def chosen_shifts(tried: dict[float, dict]) -> dict[str, float]:
    """Return each label's shift: the one with the highest F1 less a price on false alarms.

    The price is as low as the limit on alarms allows. tried : the figures with each shift for all labels.
    """
    for price in np.geomspace(1e-4, 1, 100):

        def worth(shift: float, label: str, price: float = price) -> float:
            figures = tried[shift]
            return figures["f1"][label] - price * figures["alarms"][label] / figures["clean_hours"]

        shifts = {label: max(SHIFTS, key=partial(worth, label=label)) for label in LABELS}
        alarms = sum(tried[shift]["alarms"][label] / tried[shift]["clean_hours"] for label, shift in shifts.items())
        if alarms <= MOST_ALARMS_PER_HOUR:
            break
    return shifts


def shifted(curves: dict, by: dict[str, float]) -> dict:
    return {label: curve.shifted(by[label]) for label, curve in curves.items()}


def contents(figures: dict) -> str:
    """Return what the card says of the graph."""
    return f"""The front end (mel bands, millisecond energies,
wave shape, correlation with the past 400 ms, phase-prediction error per band (complex-domain onset function,
Duxbury 2003), fine bins under 434 Hz), the networks
({figures["parameters"]:,} parameters; if there are two, the mean of their outputs counts) and the calibration are
inside.
{figures["bytes"] / 1e6:.1f} MB; measured {figures["speed"]:.0f} x
real time through onnxruntime with two threads on a shared two-core machine, overlap counted."""


def export(name: str, version: str = "0.1.0") -> None:
    """Calibrate network ``name``, or the committee "a+b", on the development split; write model, manifest and card."""
    torch.set_num_threads(2)
    network = fitted(name)
    scores, spans = dev_scores(network), dev_spans()
    clean = [*clean_scores(name, network), *dev_scores(network, "clean")]
    scored = [*zip(scores, spans, strict=True), *((part, []) for part in clean)]
    even, odd = scored[::2], scored[1::2]
    held = {label: calibrate.fit_curve(even, label) for label in LABELS}
    whole = {label: calibrate.fit_curve(scored, label) for label in LABELS}
    rules = {label: Rule() for label in LABELS}
    tried = {}
    for shift in SHIFTS:
        tried[shift] = measure(scores, spans, clean, shifted(whole, dict.fromkeys(LABELS, shift)), rules)
        print(f"shift {shift}: macro {tried[shift]['macro']:.3f} alarms {tried[shift]['alarms_per_hour']:.1f}/h")
    shifts = chosen_shifts(tried)
    curves, cautious = shifted(whole, shifts), shifted(held, shifts)
    figures = measure(scores, spans, clean, curves, rules)
    error = calibrate.calibration_error([(calibrate.apply(s, cautious), true) for s, true in odd])
    target = ARTIFACTS / version
    target.mkdir(parents=True, exist_ok=True)
    graph = target / "model.onnx"
    scale = torch.tensor([curves[label].scale for label in LABELS])
    offset = torch.tensor([curves[label].offset for label in LABELS])
    write_graph(Detector(network, scale, offset), graph)
    (target / "manifest.toml").write_text(manifest(hashlib.sha256(graph.read_bytes()).hexdigest(), version))
    figures |= {
        "calibration_error": error,
        "shifts": shifts,
        "most_alarms_per_hour": MOST_ALARMS_PER_HOUR,
        "speed": speed(graph),
        "bytes": graph.stat().st_size,
        "parameters": sum(p.numel() for p in network.parameters()),
        "curves": {label: [curve.scale, curve.offset] for label, curve in curves.items()},
    }
    (WORK / f"{name}-figures.json").write_text(json.dumps(figures, indent=1))
    packages = [*fitted_on(), *development_packages()]
    write_card(target / "MODEL_CARD.md", contents(figures), packages, development(figures))
    print(figures.pop("table"))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Calibrate fitted networks and write the model.")
    parser.add_argument("name", help="a network, or several whose mean counts, such as a+b")
    parser.add_argument("version", nargs="?", default="0.1.0")
    options = parser.parse_args()
    export(options.name, options.version)
