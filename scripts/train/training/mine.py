"""Hard negatives mined: clean clips that a fitted network takes for faulty, kept for the next run to learn from."""

import json
import os
import sys
from collections.abc import Iterator

import numpy as np
import torch

from . import codecs
from .clips import CLIP_FRAMES, CLIP_SAMPLES, make_clip
from .events import Rule, detect
from .export import session, write_graph
from .network import Detector, Network
from .places import LABELS, WORK
from .render import paths
from .sources import Pool

THRESHOLD = 0.3
"""Taken before calibration: what comes near an alarm is worth learning too."""


def candidates(pool: Pool, invented: int) -> Iterator[np.ndarray]:
    """Yield clean clips (CLIP_SAMPLES,): all of the pool in turn, every third through a coder, then `invented` more."""
    rng = np.random.default_rng(11)
    for entry in pool.index:
        for start in range(0, entry["samples"] - CLIP_SAMPLES // 2, CLIP_SAMPLES):
            first = entry["start"] + start
            num = min(CLIP_SAMPLES, entry["samples"] - start)
            audio = codecs.fitted(pool.samples[first : first + num].astype(np.float32) / 32768, CLIP_SAMPLES)
            yield codecs.coded(rng, audio, 32_000) if rng.random() < 0.33 else audio
    for index in range(invented):
        yield make_clip(np.random.default_rng((5, index)), pool, always_clean=True).audio


def mine(name: str, invented: int) -> None:
    """Write split `mined`: the candidates in which WORK/<name>.pt finds anything."""
    os.nice(5)
    network = Network()
    network.load_state_dict(torch.load(WORK / f"{name}.pt"))
    graph = WORK / f"mine-{name}.onnx"
    write_graph(Detector(network, torch.ones(len(LABELS)), torch.zeros(len(LABELS))), graph)
    ort = session(graph, 1)
    graph.unlink()
    rules = {label: Rule(THRESHOLD) for label in LABELS}
    audio_path, targets_path, spans_path = paths("mined")
    seen, counts = 0, dict.fromkeys(LABELS, 0)
    with audio_path.open("wb") as audio, targets_path.open("wb") as targets, spans_path.open("w") as spans:
        for clip in candidates(Pool("fit"), invented):
            seen += 1
            found = detect(ort.run(["scores"], {"waveform": clip[None]})[0][0], rules)
            if found:
                np.round(clip * 32767).clip(-32768, 32767).astype(np.int16).tofile(audio)
                np.zeros((CLIP_FRAMES, len(LABELS)), np.uint8).tofile(targets)
                spans.write(json.dumps([]) + "\n")
                for event in found:
                    counts[event.label] += 1
            if seen % 500 == 0:
                print(f"{seen} clean clips seen, alarms {counts}", flush=True)


if __name__ == "__main__":
    mine(sys.argv[1], int(sys.argv[2]))
