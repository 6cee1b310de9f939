"""Calibrates a student on the part of the evaluation set that candidates are compared on, and exports it.

Spare clean recordings, which no student was fitted to, are added to that part. Figures are reported of the other part,
by ``scripts/train/evaluate``; no recording is in both.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from functools import cache, partial
from pathlib import Path

import av
import numpy as np
import onnxruntime
import soxr
import torch
from evaluation.build import build, set_folder
from torch import Tensor, nn

from training import calibrate
from training.card import choice, fitted_on, write_card
from training.clips import CLIP_FRAMES
from training.events import Event, Tally, detect
from training.export import manifest, write_graph
from training.features import session
from training.front_end import LOW_BINS
from training.labels import LABELS, SAMPLE_RATE_HZ
from training.lean_front_end import FEATURE_CHANNELS, LeanFrontEnd
from training.lessons import ROW, features
from training.network import Detector, evened, probabilities
from training.places import ARTIFACTS, DEV_PACKAGES, FIT_PACKAGES, MORE_PACKAGES, WORK
from training.recordings import cut, joined
from training.sources import pool_of
from training.student import Student

SPARE_SECONDS = 120.0  # of each spare recording, at most
# What may be added to a label's calibrated logits.
SHIFTS = tuple(np.round(np.arange(-2.0, 2.01, 0.2), 1).tolist())


@cache
def truth() -> list[dict]:
    """Return the entries of the part, sorted by file, then those of the spare recordings, which are clean."""
    part = sorted((entry for entry in build() if entry["part"] == "choose"), key=lambda entry: entry["file"])
    return part + [
        {
            "file": f"{entry['package']}/{entry['name']}",
            "kind": "clean",
            "events": [],
            "unsure": ["clipping"],  # some games' recordings are overloaded
            "first": entry["start"],
            "duration_seconds": min(entry["samples"] / SAMPLE_RATE_HZ, SPARE_SECONDS),
        }
        for entry in pool_of("spare").index
    ]


def windows(entry: dict) -> np.ndarray:
    """Return the recording of an entry as windows (count, CLIP_SAMPLES) float32."""
    if "first" in entry:
        end = entry["first"] + round(entry["duration_seconds"] * SAMPLE_RATE_HZ)
        return cut(pool_of("spare").stretch(entry["first"], end))
    blocks, size = [], 0
    with av.open(str(set_folder() / entry["file"])) as container:
        for packet in container.demux(audio=0):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:  # what is lost is as long as what came before
                blocks.append(np.zeros(size))
                continue
            for frame in frames:
                block, num = frame.to_ndarray(), len(frame.layout.channels)
                scale = 1 / np.iinfo(block.dtype).max if block.dtype.kind == "i" else 1.0
                blocks.append((block.mean(0) if frame.format.is_planar else block.reshape(-1, num).mean(1)) * scale)
                size, rate_hz = len(blocks[-1]), frame.sample_rate
    audio = soxr.resample(np.concatenate(blocks).astype(np.float32), rate_hz, SAMPLE_RATE_HZ)
    return cut(audio)


def rows() -> tuple[np.ndarray, list[int]]:
    """Return the features of every window of the part (windows, ROW) float16, and how many each file has."""
    path, counts = WORK / "choose-rows.f16", WORK / "choose-rows.txt"
    numbers = [int(line) for line in counts.read_text().split()] if counts.exists() else []
    entries = truth()
    if len(numbers) < len(entries):
        with path.open("ab") as out, counts.open("a") as lines:
            out.truncate(2 * ROW * sum(numbers))
            for entry in entries[len(numbers) :]:
                parts = windows(entry)
                for part in parts:
                    features(part).tofile(out)
                out.flush()
                lines.write(f"{len(parts)}\n")
                lines.flush()
                numbers.append(len(parts))
    return np.memmap(path, np.float16, "r", shape=(sum(numbers), ROW)), numbers


class Scores(nn.Module):
    """Rows (batch, ROW) float32 to uncalibrated scores (batch, T, labels), with every event held at its maximum."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, rows: Tensor) -> Tensor:
        split = FEATURE_CHANNELS * CLIP_FRAMES
        features = rows[:, :split].reshape(-1, FEATURE_CHANNELS, CLIP_FRAMES)
        low = rows[:, split:].reshape(-1, LOW_BINS, CLIP_FRAMES // 4)
        return evened(probabilities(self.student(features, low)))


def scorer(student: Student) -> onnxruntime.InferenceSession:
    """Return a session from ``rows`` (batch, ROW) float32 to the uncalibrated ``scores`` (batch, T, labels)."""
    path = WORK / f"scores-{os.getpid()}.onnx"
    torch.onnx.export(
        Scores(student).eval(),
        (torch.zeros(2, ROW),),
        path,
        input_names=["rows"],
        output_names=["scores"],
        dynamic_axes={name: {0: "batch"} for name in ("rows", "scores")},
        opset_version=17,
        dynamo=False,
    )
    ort = session(path, 1)
    path.unlink()
    return ort


def scores(student: Student) -> list[np.ndarray]:
    """Return the uncalibrated scores (frames, labels) of each file of the part."""
    every, numbers = rows()
    ort = scorer(student)
    starts = range(0, len(every), 4)
    parts = [ort.run(None, {"rows": every[start : start + 4].astype(np.float32)})[0] for start in starts]
    windowed, ends = np.concatenate(parts), np.cumsum(numbers)
    return [
        joined(windowed[end - count : end], entry["duration_seconds"])
        for entry, end, count in zip(truth(), ends, numbers, strict=True)
    ]


def events(entry: dict) -> list[Event]:
    return [Event(e["label"], e["start_seconds"], e["end_seconds"]) for e in entry["events"]]


def tallies(scored: list[np.ndarray], curves: dict) -> tuple[Tally, dict[str, int], float]:
    """Return the tally of the faulty files, and the false alarms by label in how many hours of clean ones."""
    tally, alarms, hours = Tally.empty(), dict.fromkeys(LABELS, 0), 0.0
    for entry, part in zip(truth(), scored, strict=True):
        detections = [
            event for event in detect(calibrate.apply(part, curves), {}) if event.label not in entry["unsure"]
        ]
        if entry["kind"] == "faulty":
            tally.add(detections, events(entry), entry["duration_seconds"])
        else:
            hours += entry["duration_seconds"] / 3600
            for event in detections:
                alarms[event.label] += 1
    return tally, alarms, hours


def curves_of(
    scored: list[np.ndarray], most_alarms_per_hour: float
) -> tuple[dict[str, calibrate.Curve], dict[str, float]]:
    """Return each label's curve, shifted to the highest macro-F1 with so many false alarms at most, and the shifts."""
    pairs = [(part, events(entry)) for entry, part in zip(truth(), scored, strict=True)]
    whole = {label: calibrate.fit_curve(pairs, label) for label in LABELS}
    print({label: (round(curve.scale, 2), round(curve.offset, 2)) for label, curve in whole.items()})
    tried = {
        shift: tallies(scored, {label: curve.shifted(shift) for label, curve in whole.items()}) for shift in SHIFTS
    }
    for price in np.geomspace(1e-4, 1, 100):

        def worth(shift: float, label: str, price: float = price) -> float:
            tally, alarms, hours = tried[shift]
            return tally.f1(label) - price * alarms[label] / hours - 0.002 * abs(shift)

        shifts = {label: max(SHIFTS, key=partial(worth, label=label)) for label in LABELS}
        total = sum(tried[shift][1][label] / tried[shift][2] for label, shift in shifts.items())
        if total <= most_alarms_per_hour:
            break
    print(f"shifts {shifts}, {total:.1f} false alarms an hour")
    return {label: whole[label].shifted(shift) for label, shift in shifts.items()}, shifts


def loaded(names: str) -> Student:
    """Return the student with the mean of the weights of WORK/<name>.pt; ``names`` joins them by "+": "a+b".

    They were fitted from one start, so the mean of their weights is a network too, and a better one than each.
    """
    parts = [torch.load(WORK / f"{name}.pt") for name in names.split("+")]
    student = Student()
    student.load_state_dict(
        {key: torch.stack([part[key].float() for part in parts]).mean(0).to(parts[0][key].dtype) for key in parts[0]}
    )
    return student.eval()


def contents(student: Student, path: Path) -> str:
    """Return what the card says of the graph."""
    return f"""The front end (mel bands, millisecond energies,
wave shape, correlation with the past 200 ms at 4 kHz, phase-prediction error per band (complex-domain onset function,
Duxbury 2003), fine bins under 434 Hz), one network ({sum(p.numel() for p in student.parameters()):,} parameters) and
the calibration are inside. {path.stat().st_size / 1e6:.1f} MB."""


def export(name: str, version: str, most_alarms_per_hour: float) -> None:
    """Write the graph, the manifest and the card of student ``name`` into the store."""
    student = loaded(name)
    scored = scores(student)
    curves, shifts = curves_of(scored, most_alarms_per_hour)
    tally, alarms, hours = tallies(scored, curves)
    figures = {
        "table": tally.table().rpartition(", ")[0],  # without the false alarms: clean files are not in the tally
        "alarms": alarms,
        "alarms_per_hour": sum(alarms.values()) / hours,
        "clean_hours": hours,
        "shifts": shifts,
        "most_alarms_per_hour": most_alarms_per_hour,
    }
    print(choice(figures))
    scale = torch.tensor([curves[label].scale for label in LABELS])
    offset = torch.tensor([curves[label].offset for label in LABELS])
    target = ARTIFACTS / version
    target.mkdir(parents=True, exist_ok=True)
    graph = target / "model.onnx"
    write_graph(Detector(student, scale, offset, LeanFrontEnd()), graph)
    (target / "manifest.toml").write_text(manifest(hashlib.sha256(graph.read_bytes()).hexdigest(), version))
    write_card(
        target / "MODEL_CARD.md",
        contents(student, graph),
        fitted_on(FIT_PACKAGES + MORE_PACKAGES + DEV_PACKAGES),
        choice(figures),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="the student WORK/<name>.pt")
    parser.add_argument("version", nargs="?", default="0.2.0")
    parser.add_argument("--most-alarms", type=float, default=14.0, metavar="PER_HOUR")
    options = parser.parse_args()
    torch.set_num_threads(1)
    export(options.name, options.version, options.most_alarms)
