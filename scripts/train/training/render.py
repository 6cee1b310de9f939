"""Clips rendered to disk: audio and targets of a split as flat arrays, grown clip by clip, each from its own seed."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np

from training import clips
from training.places import WORK
from training.sources import pool_of

# Of each split: its seed, the pool it draws from, whether it is always clean.
SPLITS = {"fit": (1, "fit", False), "dev": (2, "dev", False), "clean": (6, "dev", True)}


def paths(split: str) -> tuple[Path, Path, Path]:
    """Files of a split: audio int16 (clips, CLIP_SAMPLES), targets uint8 (clips, CLIP_FRAMES, TARGETS), JSON spans."""
    return WORK / f"{split}-audio.i16", WORK / f"{split}-targets.u8", WORK / f"{split}-spans.jsonl"


def rendered(split: str) -> int:
    """Return how many clips of a split are complete on disk."""
    spans = paths(split)[2]
    return spans.read_text().count("\n") if spans.exists() else 0


def pcm(audio: np.ndarray) -> np.ndarray:
    """Return float32 in [-1, 1] as int16, clipped at full scale."""
    return np.round(audio * 32767).clip(-32768, 32767).astype(np.int16)


def clip_of(split: str, index: int) -> clips.Clip:
    """Return clip ``index`` of a split, made from its own seed."""
    seed, pool, always_clean = SPLITS[split]
    return clips.make_clip(np.random.default_rng((seed, index)), pool_of(pool), always_clean)


def render(split: str, num_clips: int) -> None:
    """Grow a split to ``num_clips``. Clip i depends only on (split, i)."""
    os.nice(5)
    audio_path, targets_path, spans_path = paths(split)
    done = rendered(split)
    if done >= num_clips:
        return
    pool_of(SPLITS[split][1])
    with (
        audio_path.open("ab") as audio,
        targets_path.open("ab") as targets,
        spans_path.open("a") as spans,
        multiprocessing.Pool() as workers,
    ):
        audio.truncate(done * clips.CLIP_SAMPLES * 2)
        targets.truncate(done * clips.CLIP_FRAMES * len(clips.TARGETS))
        for clip in workers.imap(partial(clip_of, split), range(done, num_clips), 8):
            pcm(clip.audio).tofile(audio)
            clips.targets(clip).tofile(targets)
            audio.flush()
            targets.flush()
            spans.write(json.dumps(clip.spans) + "\n")
            spans.flush()


def load(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the complete clips: audio (clips, CLIP_SAMPLES) int16, targets (clips, CLIP_FRAMES, TARGETS) uint8."""
    audio_path, targets_path, _ = paths(split)
    count = rendered(split)
    audio = np.memmap(audio_path, np.int16, "r", shape=(count, clips.CLIP_SAMPLES))
    return audio, np.memmap(targets_path, np.uint8, "r", shape=(count, clips.CLIP_FRAMES, len(clips.TARGETS)))


if __name__ == "__main__":
    render(sys.argv[1], int(sys.argv[2]))
