"""Features of rendered clips, computed once: the front end learns nothing, so no epoch needs to run it again."""

from __future__ import annotations

import multiprocessing
import os
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from training.clips import CLIP_FRAMES, CLIP_SAMPLES
from training.front_end import FEATURE_CHANNELS, LOW_BINS, FrontEnd
from training.places import WORK
from training.render import load, rendered

ROW = FEATURE_CHANNELS * CLIP_FRAMES + LOW_BINS * CLIP_FRAMES // 4


def session(path: Path, threads: int = 2) -> onnxruntime.InferenceSession:
    """Return a graph as a session on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def write_front_end(front_end: nn.Module, path: Path) -> None:
    """Trace a front end to a graph from ``waveform`` (batch, CLIP_SAMPLES) to ``features`` and ``low``."""
    torch.onnx.export(
        front_end.eval(),
        (torch.zeros(2, CLIP_SAMPLES),),
        path,
        input_names=["waveform"],
        output_names=["features", "low"],
        dynamic_axes={name: {0: "batch"} for name in ("waveform", "features", "low")},
        opset_version=17,
        dynamo=False,
    )


@cache
def front_end_session(kind: type[nn.Module] = FrontEnd) -> onnxruntime.InferenceSession:
    """Return a front end as a session of onnxruntime, which runs it twice as fast as torch."""
    path = WORK / f"front_end-{os.getpid()}.onnx"
    write_front_end(kind(), path)
    ort = session(path, 1)
    path.unlink()
    return ort


def features_path(split: str) -> Path:
    return WORK / f"{split}-features.f16"


def has_features(split: str) -> bool:
    """Return whether any clip of a split has features. Mining may have kept no clip."""
    path = features_path(split)
    return path.exists() and path.stat().st_size >= 2 * ROW


def row(split: str, index: int) -> np.ndarray:
    """(ROW,) float16: the features, then the low bins, of one clip."""
    x = load(split)[0][index : index + 1].astype(np.float32) / 32768
    return np.concatenate([part.ravel() for part in front_end_session().run(None, {"waveform": x})]).astype(np.float16)


def compute(split: str, num_clips: int) -> None:
    """Grow the features of a split to its first ``num_clips`` clips."""
    os.nice(5)
    path = features_path(split)
    done = path.stat().st_size // (2 * ROW) if path.exists() else 0
    if rendered(split) == 0:
        return
    with path.open("ab") as out, multiprocessing.Pool() as workers:
        out.truncate(done * 2 * ROW)
        for features in workers.imap(partial(row, split), range(done, min(num_clips, rendered(split))), 8):
            features.tofile(out)


def load_features(split: str) -> np.ndarray:
    """Memory map (clips, ROW) float16: the features, then the low bins, of the clips done now."""
    path = features_path(split)
    return np.memmap(path, np.float16, "r", shape=(min(path.stat().st_size // (2 * ROW), rendered(split)), ROW))


def unpack(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (batch, ROW) to (features (batch, FEATURE_CHANNELS, T), low (batch, LOW_BINS, T // 4)) float32."""
    split = FEATURE_CHANNELS * CLIP_FRAMES
    features = rows[:, :split].float().reshape(-1, FEATURE_CHANNELS, CLIP_FRAMES)
    return features, rows[:, split:].float().reshape(-1, LOW_BINS, CLIP_FRAMES // 4)


if __name__ == "__main__":
    compute(sys.argv[1], int(sys.argv[2]))
