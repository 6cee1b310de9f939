"""Mines hard negatives: clean clips in which a fitted network detects faults, kept for the next epochs."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from training import codecs
from training.clips import CLIP_FRAMES, CLIP_SAMPLES, TARGETS, make_clip
from training.events import Rule, detect
from training.export import write_graph
from training.features import session
from training.labels import LABELS
from training.network import Detector, fitted
from training.places import WORK
from training.render import paths, pcm
from training.sources import pool_of

THRESHOLD = 0.3  # before calibration: what comes near a false alarm is worth learning too


@cache
def pieces(pool: str) -> list[tuple[int, int]]:
    """(first sample, samples) of each clip's length of a pool."""
    return [
        (entry["start"] + start, min(CLIP_SAMPLES, entry["samples"] - start))
        for entry in pool_of(pool).index
        for start in range(0, entry["samples"] - CLIP_SAMPLES // 2, CLIP_SAMPLES)
    ]


def candidate(index: int, pool: str = "fit") -> np.ndarray:
    """Return a clean clip (CLIP_SAMPLES,): first those of the pool, every third through a coder, then composed ones."""
    rng = np.random.default_rng((5, index))
    if index >= len(pieces(pool)):
        return make_clip(rng, pool_of(pool), always_clean=True).audio
    first, num = pieces(pool)[index]
    audio = codecs.fitted(pool_of(pool).stretch(first, first + num), CLIP_SAMPLES)
    return codecs.coded(rng, audio, 32_000) if rng.random() < 0.33 else audio


@cache
def _scorer(graph: Path) -> onnxruntime.InferenceSession:
    return session(graph, 1)


def false_alarms(graph: Path, index: int) -> tuple[np.ndarray, list[str]]:
    """Return a candidate as (CLIP_SAMPLES,) int16, and the labels that the network detects in it."""
    clip = candidate(index)
    scores = _scorer(graph).run(["scores"], {"waveform": clip[None]})[0][0]
    detections = detect(scores, {label: Rule(THRESHOLD) for label in LABELS})
    return pcm(clip), [event.label for event in detections]


def mine(name: str, first: int, last: int) -> None:
    """Add those of candidates [first, last) in which network ``name`` detects anything to the split ``mined``."""
    os.nice(5)
    graph = WORK / f"mine-{name}.onnx"
    write_graph(Detector(fitted(name), torch.ones(len(LABELS)), torch.zeros(len(LABELS))), graph)
    audio_path, targets_path, spans_path = paths("mined")
    counts = dict.fromkeys(LABELS, 0)
    pool_of("fit")
    with (
        audio_path.open("ab") as audio,
        targets_path.open("ab") as targets,
        spans_path.open("a") as spans,
        multiprocessing.Pool() as workers,
    ):
        for seen, (clip, alarms) in enumerate(workers.imap(partial(false_alarms, graph), range(first, last), 8), 1):
            if alarms:
                clip.tofile(audio)
                np.zeros((CLIP_FRAMES, len(TARGETS)), np.uint8).tofile(targets)
                spans.write(json.dumps([]) + "\n")
                for label in alarms:
                    counts[label] += 1
            if seen % 500 == 0:
                print(f"{seen} clean clips scored, alarms {counts}", flush=True)
    graph.unlink()


if __name__ == "__main__":
    mine(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
