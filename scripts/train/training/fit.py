"""Fitting the network to rendered clips, and scoring the development split after each epoch."""

from __future__ import annotations

import argparse
import copy
import json
import math
import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from training.events import Event, Rule, Tally, detect
from training.features import has_features, load_features, unpack
from training.front_end import MEL_BANDS, MEL_CHANNELS
from training.labels import LABELS, SHORT_LABELS
from training.network import LONG, Network, evened, probabilities
from training.places import WORK
from training.render import load, paths

# The splits of an epoch. The mined negatives are few, so each is seen three times.
SPLITS = ("fit", "mined", "mined", "mined")

RETIMBRED_SHARE = 0.5
SILENT_BAND = -2.7  # log-mel under which a band holds nothing: just over the floor of the front end's logarithm

SHORT = [LABELS.index(name) for name in SHORT_LABELS]


def loss(logits: dict[str, Tensor], target: Tensor) -> Tensor:
    """Return the mean loss of a batch. target: (batch, T, TARGETS) in {0, 1}.

    Short faults are few frames of many, so a frame inside one has weight 4. A clean frame that is taken for a fault is
    a false alarm and keeps its full weight. A click has three frames and other faults have dozens, so its frames weigh
    more. Frames near the beginning and end of clipping and hum have weight 4 too: their extent goes wrong first.
    """
    short, long = target[:, :, SHORT].transpose(1, 2), target[:, :, LONG].transpose(1, 2)
    any_short = short.amax(1, keepdim=True)
    click = short[:, :1]
    event = F.binary_cross_entropy_with_logits(logits["event"].float(), any_short, weight=1 + 3 * any_short + 3 * click)
    names = F.log_softmax(logits["type"].float(), 1)
    weight = short * (1 + 4 * click)
    naming = -(weight * names).sum() / weight.sum().clamp(min=1)
    follow = F.binary_cross_entropy_with_logits(logits["long"].float(), long, weight=1 + 3 * _near_an_edge(long))
    overload = F.binary_cross_entropy_with_logits(logits["overload"].float(), target[:, :, -1:].transpose(1, 2))
    return 4 * event + 0.4 * naming + 3 * follow + 2 * overload


def retimbred(features: Tensor, rng: np.random.Generator) -> Tensor:
    """Change the log-mel of some clips of features (batch, FEATURE_CHANNELS, T), as another microphone or voice would.

    The change is smooth, up to 8 dB over the bands and up to two bands up or down. No fault appears or disappears by
    it, and a network that sees each clip several times learns it less by heart.
    """
    bands = np.arange(MEL_BANDS)
    for clip in features:
        if rng.random() < RETIMBRED_SHARE:
            moved = (bands + rng.integers(-2, 3)).clip(0, MEL_BANDS - 1)
            mel = clip[:MEL_CHANNELS].reshape(2, MEL_BANDS, -1)[:, moved]
            change = np.interp(bands, np.linspace(0, MEL_BANDS - 1, 5), rng.uniform(-0.46, 0.46, 5)).astype(np.float32)
            audible = (mel > SILENT_BAND).float()
            clip[:MEL_CHANNELS] = (mel + audible * torch.from_numpy(change)[:, None]).reshape(MEL_CHANNELS, -1)
    return features


def _near_an_edge(target: Tensor, reach: int = 20) -> Tensor:
    """Return 1 in the frames of (batch, channels, T) that lie within ``reach`` of a beginning or an end, else 0."""
    risen = F.max_pool1d(target, 2 * reach + 1, 1, reach)
    fallen = 1 - F.max_pool1d(1 - target, 2 * reach + 1, 1, reach)
    return risen - fallen


def dev_scores(network: Network, split: str = "dev") -> np.ndarray:
    """Return the uncalibrated scores of every clip of a split: (clips, T, labels) float32."""
    network.eval()
    rows = load_features(split)
    out = []
    with torch.no_grad():
        for start in range(0, len(rows), 16):
            batch = torch.from_numpy(np.array(rows[start : start + 16]))
            out.append(evened(probabilities(network(*unpack(batch)))).numpy())
    return np.concatenate(out)


def dev_spans() -> list[list[Event]]:
    """Return the true events of every development clip."""
    lines = paths("dev")[2].read_text().splitlines()
    return [[Event(label, a, b) for label, a, b in json.loads(line)] for line in lines]


def best_tally(scores: np.ndarray, spans: list[list[Event]]) -> Tally:
    """Return the tally at each label's own best threshold, which is what calibration can reach."""
    rules = {}
    for label in LABELS:
        best = (-1.0, 0.5)
        for threshold in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            tally = tally_of(scores, spans, {name: Rule(threshold if name == label else 2.0) for name in LABELS})
            best = max(best, (tally.f1(label), threshold))
        rules[label] = Rule(best[1])
    return tally_of(scores, spans, rules)


def tally_of(scores: np.ndarray, spans: list[list[Event]], rules: dict) -> Tally:
    tally = Tally.empty()
    for s, true in zip(scores, spans, strict=False):
        tally.add(detect(s, rules), true, 8.0)
    return tally


class Average:
    """A running average of a network's weights.

    Its scores vary less than those of the last step, and it forgets its start.
    """

    def __init__(self, network: Network) -> None:
        self.network = copy.deepcopy(network).eval()
        self.steps = 0

    @torch.no_grad()
    def update(self, network: Network) -> None:
        self.steps += 1
        share = max(0.002, 1 / (1 + self.steps / 5))
        for mine, new in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(new, share)
            else:
                mine.copy_(new)


def optimiser_of(network: Network, rate: float) -> torch.optim.Optimizer:
    """Return the optimizer of a network's weights. Norms and biases do not decay."""
    decay = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.02}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate)


def learn(network: Network, optimiser: torch.optim.Optimizer, value: Tensor) -> None:
    """Make one step that lowers a loss."""
    optimiser.zero_grad(set_to_none=True)
    value.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
    optimiser.step()


def fit(
    name: str, minutes: float, peak_rate: float = 2e-3, batch: int = 16, start_from: str | None = None, threads: int = 2
) -> None:
    """Fit for ``minutes`` with a learning rate that falls as a cosine of the time. Keep the averaged weights as
    WORK/<name>.pt."""
    torch.manual_seed(7)
    torch.set_num_threads(threads)
    rng = np.random.default_rng(7)
    network = Network()
    if start_from:
        network.load_state_dict(torch.load(WORK / f"{start_from}.pt"))
    network.spectral.to(memory_format=torch.channels_last)  # a tenth faster
    average = Average(network)
    optimiser = optimiser_of(network, peak_rate)
    began, step, epoch, total = time.monotonic(), 0, 0, 0.0
    spans = dev_spans()
    while time.monotonic() - began < minutes * 60:
        splits = [(load_features(split), load(split)[1]) for split in SPLITS if has_features(split)]
        clips = [(split, index) for split, (rows, _) in enumerate(splits) for index in range(len(rows))]
        order, epoch = rng.permutation(len(clips)), epoch + 1
        for start in range(0, len(order) - batch, batch):
            progress = (time.monotonic() - began) / (minutes * 60)
            if progress >= 1:
                break
            rate = peak_rate * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-6
            for group in optimiser.param_groups:
                group["lr"] = rate
            chosen = sorted(clips[index] for index in order[start : start + batch])
            network.train()
            features, low = unpack(torch.from_numpy(np.stack([splits[s][0][i] for s, i in chosen])))
            features = retimbred(features, rng)
            target = torch.from_numpy(np.stack([splits[s][1][i] for s, i in chosen])).float()
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(features, low)
            value = loss(logits, target)
            learn(network, optimiser, value)
            average.update(network)
            step += 1
            total = 0.98 * total + 0.02 * float(value.detach()) if step > 1 else float(value.detach())
            if step % 100 == 0:
                print(
                    f"step {step} epoch {epoch} clips {len(clips)} loss {total:.4f} minute {progress * minutes:.1f}",
                    flush=True,
                )
        scores = dev_scores(average.network)
        torch.save(average.network.state_dict(), WORK / f"{name}.pt")
        print(f"epoch {epoch}: " + best_tally(scores, spans).table(), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fit a network to the rendered clips.")
    parser.add_argument("name", help="the weights are kept as <name>.pt")
    parser.add_argument("minutes", type=float)
    parser.add_argument("--start-from", metavar="NAME", help="start from the weights of this network")
    parser.add_argument("--peak-rate", type=float, default=2e-3, help="highest learning rate")
    options = parser.parse_args()
    fit(options.name, options.minutes, options.peak_rate, start_from=options.start_from)
