"""What the student learns from: of each rendered clip its features, the truth, and the answer of the teacher.

The audio is not kept. Clip i of a split depends only on the split and on i, as in ``render``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from training.clips import CLIP_FRAMES, TARGETS, Clip, make_clip, targets
from training.features import front_end_session, session
from training.labels import SHORT_LABELS
from training.lean_front_end import FEATURE_CHANNELS, LOW_BINS, LeanFrontEnd
from training.places import ARTIFACTS, WORK
from training.sources import pool_of

# Of each split: its seed, the pool of its recordings, and what ``make_clip`` is asked for.
SPLITS = {
    "fit": (1, "fit", {}),
    "dense": (8, "fit", {"dense": True}),
    "wide": (9, "more", {"dense": True}),
    "clean": (7, "fit", {"always_clean": True}),
}
TEACHER = "0.1.1"
# The teacher's logits of an event, of its names, of clipping and hum, and of overload: the means over its networks.
LOGITS = tuple(f"/network/ReduceMean{suffix}_output_0" for suffix in ("", "_1", "_2", "_3"))
TAUGHT = 1 + len(SHORT_LABELS) + 2 + 1

ROW = FEATURE_CHANNELS * CLIP_FRAMES + LOW_BINS * CLIP_FRAMES // 4
RECORD = np.dtype(
    [
        ("row", np.float16, ROW),
        ("truth", np.uint8, (CLIP_FRAMES, len(TARGETS))),
        ("taught", np.uint8, (CLIP_FRAMES, TAUGHT)),  # probabilities times 255
    ]
)


@cache
def teacher() -> onnxruntime.InferenceSession:
    """Return the teacher's networks as a session from ``waveform`` to LOGITS."""
    path = WORK / f"teacher-{os.getpid()}.onnx"
    onnx.utils.extract_model(ARTIFACTS / TEACHER / "model.onnx", path, ["waveform"], list(LOGITS), check_model=False)
    ort = session(path, 1)
    path.unlink()
    return ort


def features(waveform: np.ndarray) -> np.ndarray:
    """Return the features, then the low bins, of one clip (CLIP_SAMPLES,): (ROW,) float16."""
    parts = front_end_session(LeanFrontEnd).run(None, {"waveform": waveform[None].astype(np.float32)})
    return np.concatenate([part.ravel() for part in parts]).astype(np.float16)


def taught(waveform: np.ndarray) -> np.ndarray:
    """Return the teacher's probabilities of one clip (CLIP_SAMPLES,): (CLIP_FRAMES, TAUGHT) in [0, 1]."""
    event, names, *rest = (part[0] for part in teacher().run(None, {"waveform": waveform[None].astype(np.float32)}))
    named = np.exp(names - names.max(0))
    sure = [1 / (1 + np.exp(-part)) for part in (event, *rest)]
    return np.concatenate([sure[0], named / named.sum(0), *sure[1:]]).T


def lesson_of(clip: Clip, ask: bool = True) -> np.ndarray:
    """Return a clip's record: a scalar of RECORD. The teacher is never asked about a clean clip: nothing is there."""
    audio = (np.round(clip.audio * 32767).clip(-32768, 32767) / 32768).astype(np.float32)
    out = np.zeros((), RECORD)
    out["row"], out["truth"] = features(audio), targets(clip)
    if ask and clip.spans:
        out["taught"] = np.round(taught(audio) * 255)
    return out


def lesson(split: str, index: int) -> np.ndarray:
    """Return the record of clip ``index`` of a split."""
    seed, pool, wanted = SPLITS[split]
    return lesson_of(make_clip(np.random.default_rng((seed, index)), pool_of(pool), **wanted), split == "fit")


def shard(split: str, first: int) -> Path:
    return WORK / f"lessons-{split}-{first:06d}.bin"


def compute(split: str, first: int, last: int, processes: int) -> None:
    """Write the records of clips [first, last) of a split into one file, or go on with it."""
    path = shard(split, first)
    done = path.stat().st_size // RECORD.itemsize if path.exists() else 0
    pool_of(SPLITS[split][1])
    with path.open("ab") as out, multiprocessing.Pool(processes) as workers:
        out.truncate(done * RECORD.itemsize)
        for record in workers.imap(partial(lesson, split), range(first + done, last), 4):
            record.tofile(out)
            out.flush()


def load(split: str) -> Iterator[np.ndarray]:
    """Yield a memory map (clips,) of RECORD for each file of a split."""
    for path in sorted(WORK.glob(f"lessons-{split}-*.bin")):
        count = path.stat().st_size // RECORD.itemsize
        if count:
            yield np.memmap(path, RECORD, "r", shape=(count,))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("split", choices=SPLITS)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    compute(options.split, options.first, options.last, options.processes)
