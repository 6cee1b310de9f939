"""Fits the student to its lessons: to the truth, and to the teacher's answers as far as they agree with it."""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from training.choose import loaded
from training.clips import CLIP_FRAMES
from training.fit import SHORT, Average, _near_an_edge, learn, optimiser_of, retimbred
from training.front_end import LOW_BINS
from training.labels import SHORT_LABELS
from training.lean_front_end import FEATURE_CHANNELS
from training.lessons import load
from training.network import LONG
from training.places import WORK

# How often an epoch shows each clip of a split. The mined ones are few.
TIMES = {"fit": 1, "dense": 1, "wide": 1, "clean": 1, "mined": 2}
TEACHERS_SHARE = 0.4  # of the target of a frame that the teacher was asked about, if it hears what is there
BATCH, WARM_UP = 16, 100
NAMES = len(SHORT_LABELS)


def unpacked(rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return (features (batch, FEATURE_CHANNELS, T), low (batch, LOW_BINS, T // 4)) of rows (batch, ROW) float16."""
    x, split = torch.from_numpy(rows), FEATURE_CHANNELS * CLIP_FRAMES
    features = x[:, :split].float().reshape(-1, FEATURE_CHANNELS, CLIP_FRAMES)
    return features, x[:, split:].float().reshape(-1, LOW_BINS, CLIP_FRAMES // 4)


def loss(logits: dict[str, Tensor], truth: Tensor, taught: Tensor) -> Tensor:
    """Return the mean loss of a batch.

    truth : (batch, T, TARGETS) in {0, 1}. taught : (batch, T, TAUGHT) in [0, 1], all 0 of a clip without an answer. The
    weights of frames are those of ``fit.loss``.
    """
    truth, taught = truth.transpose(1, 2), taught.transpose(1, 2)
    share = TEACHERS_SHARE * (taught[:, 1:2].amax(2, keepdim=True) > 0).float()

    def target(hard: Tensor, soft: Tensor) -> Tensor:
        return hard + share * ((hard > 0.5) == (soft > 0.5)) * (soft - hard)

    short, long = truth[:, SHORT], truth[:, LONG]
    any_short, click = short.amax(1, keepdim=True), short[:, :1]
    weight = 1 + 3 * any_short + 3 * click
    wanted = target(any_short, taught[:, :1])
    event = F.binary_cross_entropy_with_logits(logits["event"].float(), wanted, weight=weight)
    names = F.log_softmax(logits["type"].float(), 1)
    named = short * (1 + 4 * click)
    naming = -(named * names).sum() / named.sum().clamp(min=1)
    wanted = target(long, taught[:, 1 + NAMES : 3 + NAMES])
    follow = F.binary_cross_entropy_with_logits(logits["long"].float(), wanted, weight=1 + 3 * _near_an_edge(long))
    wanted = target(truth[:, -1:], taught[:, -1:])
    overload = F.binary_cross_entropy_with_logits(logits["overload"].float(), wanted)
    return 4 * event + 0.4 * naming + 3 * follow + 2 * overload


def teach(name: str, steps: int, seed: int, start_from: str, peak_rate: float) -> None:
    """Fit students ``start_from``, or their mean, for so many steps of BATCH clips.

    The averaged weights are kept as WORK/<name>.pt.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    student = loaded(start_from)
    student.spectral.to(memory_format=torch.channels_last)
    average = Average(student)
    optimiser = optimiser_of(student, peak_rate)
    began, step, total, order, files = time.monotonic(), 0, 0.0, [], []
    while step < steps:
        if len(order) < BATCH:
            files = [part for split, times in TIMES.items() for part in load(split) for _ in range(times)]
            order = [(file, row) for file, part in enumerate(files) for row in range(len(part))]
            order = [order[i] for i in rng.permutation(len(order))]
        chosen, order = sorted(order[:BATCH]), order[BATCH:]
        batch = np.stack([files[file][row] for file, row in chosen])
        progress = step / steps
        for group in optimiser.param_groups:
            group["lr"] = peak_rate * min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-6
        student.train()
        features, low = unpacked(batch["row"])
        features = retimbred(features, rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits = student(features, low)
        truth, taught = torch.from_numpy(batch["truth"]).float(), torch.from_numpy(batch["taught"]).float() / 255
        value = loss(logits, truth, taught)
        learn(student, optimiser, value)
        average.update(student)
        step += 1
        total = 0.98 * total + 0.02 * float(value.detach()) if step > 1 else float(value.detach())
        if step % 50 == 0:
            minutes, clips = (time.monotonic() - began) / 60, sum(len(part) for part in files)
            print(f"step {step} of {steps}, {clips} clips, loss {total:.4f}, minute {minutes:.1f}", flush=True)
            torch.save(average.network.state_dict(), WORK / f"{name}.pt")
    torch.save(average.network.state_dict(), WORK / f"{name}.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="the weights are kept as <name>.pt")
    parser.add_argument("steps", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--start-from", metavar="NAME", required=True, help="start from this student, or from a mean: a+b"
    )
    parser.add_argument("--peak-rate", type=float, default=0.8e-3, help="highest learning rate")
    options = parser.parse_args()
    teach(options.name, options.steps, options.seed, options.start_from, options.peak_rate)
