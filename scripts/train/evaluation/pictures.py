"""Draws what ``scripts/train/pictures`` promises: reliability diagrams, and spectrograms of faults found and missed."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from PIL import Image

from appliance.engine.training.figures import calibration_bins, calibration_error
from evaluation.detectors import REPOSITORY
from evaluation.examples import NUM_TRIES, Example, examples
from evaluation.labels import LABELS

IMAGES = REPOSITORY / "docs" / "images"
SECONDS_AROUND = 1.0  # of an event, on each side
RANGE_DB = 90
NUM_COLORS = 128
mpl.rcParams |= {"font.size": 9, "svg.hashsalt": "appliance", "svg.fonttype": "none"}  # the same bytes each time


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/train/pictures", description=__doc__)
    parser.add_argument("evaluation", type=Path, help="what `evaluate --json` wrote")
    parser.add_argument("--model", default="artifacts")
    parser.add_argument("--store", type=Path)
    arguments = parser.parse_args()
    draw_reliability(json.loads(arguments.evaluation.read_text()), IMAGES / "detector-reliability.svg")
    draw_examples(examples(arguments.model, arguments.store), IMAGES / "detector-examples.png")


def draw_reliability(results: dict[str, list[list]], path: Path) -> None:
    """results : [label, confidence, right] of each detection, by detector. Labels are shown at the lowest threshold."""
    names = [name for name in results if "Essentia" not in name and "before" not in name]
    most = max(names, key=lambda name: len(results[name]))
    panels = [(name, [peak[1:] for peak in results[name]]) for name in dict.fromkeys([names[0], most])]
    panels += [(f"{label}, {most}", [peak[1:] for peak in results[most] if peak[0] == label]) for label in LABELS]
    figure, grid = plt.subplots(2, 4, figsize=(12, 6.4), sharex=True, sharey=True, layout="constrained")
    for axes, (title, peaks) in zip(grid.flat, panels, strict=False):
        _reliability(axes, title, peaks)
    for axes in grid[-1]:
        axes.set_xlabel("confidence")
    for axes in grid[:, 0]:
        axes.set_ylabel("share that is right")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _reliability(axes: Axes, title: str, peaks: Sequence[Sequence]) -> None:
    bins = calibration_bins(peaks)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    axes.plot([one.confidence for one in bins], [one.right for one in bins], color="tab:blue", linewidth=0.8)
    sizes = [8 + 160 * one.size / max(1, len(peaks)) for one in bins]
    axes.scatter([one.confidence for one in bins], [one.right for one in bins], sizes, color="tab:blue", alpha=0.7)
    for one in bins:
        axes.annotate(str(one.size), (one.confidence, one.right), (4, -9), textcoords="offset points", fontsize=7)
    axes.set(xlim=(0, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    axes.set_title(f"{title}\n{len(peaks)} detections, error {calibration_error(peaks):.3f}", fontsize=9)


def draw_examples(chosen: dict[str, dict[bool, Example | None]], path: Path) -> None:
    figure, grid = plt.subplots(len(LABELS), 2, figsize=(11, 2.1 * len(LABELS)), layout="constrained")
    for row, (label, pair) in zip(grid, chosen.items(), strict=True):
        for axes, is_found in zip(row, (True, False), strict=True):
            example = pair[is_found]
            if example:
                _spectrogram(axes, example)
            else:
                axes.set_axis_off()
                axes.text(
                    0.5, 0.5, f"{label}: none of {NUM_TRIES} was {'found' if is_found else 'missed'}", ha="center"
                )
    for axes in grid[-1]:
        axes.set_xlabel("s")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=85)
    plt.close(figure)
    Image.open(picture).convert("RGB").quantize(NUM_COLORS).save(path, optimize=True)


def _spectrogram(axes: Axes, example: Example) -> None:
    """The clip around its fault, which two white marks enclose; the bars on top are what the model reports."""
    event, rate_hz = example.scored.events[0], example.rate_hz
    start = max(0.0, event.start_seconds - SECONDS_AROUND)
    end = min(len(example.audio) / rate_hz, event.end_seconds + SECONDS_AROUND)
    part = example.audio[int(start * rate_hz) : int(end * rate_hz)]
    is_hum = event.label == "hum"
    size, hop = (4096, 256) if is_hum else (512, 64)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(part, size // 2), size)[::hop]
    power_db = 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) + 1e-9).T
    top_khz = rate_hz / 2000
    axes.imshow(
        power_db, origin="lower", aspect="auto", cmap="magma", extent=(start, end, 0, top_khz),
        vmin=power_db.max() - RANGE_DB, vmax=power_db.max(),
    )  # fmt: skip
    shown_khz = 1.0 if is_hum else top_khz
    for edge in (event.start_seconds, event.end_seconds):
        axes.axvline(edge, 0.85, 1, color="white", linewidth=1.5)
    there = [d for d in example.scored.detections if d.start_seconds < end and d.end_seconds > start]
    for number, detection in enumerate(there):
        level = shown_khz * (1.04 + 0.05 * (number % 2))
        axes.plot(
            [detection.start_seconds, detection.end_seconds], [level] * 2, "tab:green", linewidth=3, clip_on=False
        )
    words = ", ".join(f"{d.label} {d.confidence:.2f}" for d in there) or "nothing"
    axes.set(xlim=(start, end), ylim=(0, shown_khz), ylabel="kHz")
    verdict = "found" if example.scored.found[0] else "missed"
    axes.set_title(f"{event.mechanism}: {verdict}; reported: {words}", fontsize=9, pad=9)


if __name__ == "__main__":
    main()
