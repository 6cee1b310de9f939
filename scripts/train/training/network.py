"""The learned part: features to scores.

A shared trunk of dilated convolutions over 10 ms frames; one output says that something short happened, others name it
(its evidence pooled over the event), two more follow clipping and hum, and one marks where samples are overloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.front_end import FEATURE_CHANNELS, LOW_BINS, MEL_BANDS, MEL_CHANNELS, FrontEnd
from training.labels import LABELS, LONG_LABELS, SHORT_LABELS
from training.places import WORK

LONG = [LABELS.index(name) for name in LONG_LABELS]
CHANNELS = 128
DILATIONS = (1, 2, 4, 8, 16, 32, 1, 4, 16)
# Probability before calibration at which a frame belongs to an event.
EXTENT_LEVELS = {"click": 0.3, "dropout": 0.3, "glitch": 0.3, "clipping": 0.5, "hum": 0.5, "noise_burst": 0.3}

POOL_FRAMES = 15  # an event is named from the 70 ms around each of its frames


class Block(nn.Module):
    """Residual block on (batch, CHANNELS, T): a dilated convolution over three frames to ``inner`` channels, a mix."""

    def __init__(self, channels: int, dilation: int, inner: int | None = None) -> None:
        super().__init__()
        inner = inner or channels
        self.wide = nn.Conv1d(channels, inner, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(inner)
        self.mix = nn.Conv1d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(F.relu(self.norm(self.wide(x))))


def _layer(kind: type, inside: int, outside: int, kernel: int | tuple[int, int], **options: Any) -> nn.Sequential:
    norm = nn.BatchNorm1d(outside) if kind is nn.Conv1d else nn.BatchNorm2d(outside)
    return nn.Sequential(kind(inside, outside, kernel, bias=False, **options), norm, nn.ReLU())


class Network(nn.Module):
    """(features (batch, FEATURE_CHANNELS, T), low bins (batch, LOW_BINS, T // 4)) to a dictionary of logits."""

    def __init__(self) -> None:
        super().__init__()
        self.spectral = nn.Sequential(
            _layer(nn.Conv2d, 2, 16, (3, 5), stride=(1, 2), padding=(1, 2)),
            _layer(nn.Conv2d, 16, 24, (4, 3), stride=(2, 2), padding=(1, 1)),
            _layer(nn.Conv2d, 24, 32, 3, stride=(1, 2), padding=1),
        )
        self.spectral_out = _layer(nn.Conv1d, 32 * MEL_BANDS // 8, 96, 1)
        self.fine = nn.Sequential(
            _layer(nn.Conv1d, FEATURE_CHANNELS - MEL_CHANNELS, 96, 3, padding=1),
            _layer(nn.Conv1d, 96, 96, 3, padding=1),
        )
        self.low = nn.Sequential(
            _layer(nn.Conv1d, 2 * LOW_BINS, 64, 3, padding=1),
            _layer(nn.Conv1d, 64, 48, 3, padding=2, dilation=2),
            _layer(nn.Conv1d, 48, 48, 3, padding=6, dilation=6),
        )
        self.join = _layer(nn.Conv1d, 96 + 96 + 48, CHANNELS, 1)
        self.trunk = nn.Sequential(*(Block(CHANNELS, dilation) for dilation in DILATIONS), nn.Dropout(0.1))
        self.out = _layer(nn.Conv1d, CHANNELS, CHANNELS, 1)
        self.heads = nn.Conv1d(CHANNELS, 1 + len(SHORT_LABELS) + 2 + 1, 1)
        nn.init.constant_(self.heads.bias, -2.0)

    def forward(self, features: Tensor, low: Tensor) -> dict[str, Tensor]:
        """event (batch, 1, T), type (batch, 4, T), long (batch, 2, T), overload (batch, 1, T) logits, embedding
        (batch, CHANNELS) and hidden (batch, CHANNELS, T)."""
        frames = features.shape[2]
        spectral = self.spectral(self.image(features)).permute(0, 1, 3, 2).flatten(1, 2)
        fine = self.fine(features[:, MEL_CHANNELS:])
        x = torch.cat([self.spectral_out(spectral), fine, self.bass(low, frames)], 1)
        x = self.out(self.trunk(self.join(x)))
        event, kind, long, overload = self.heads(x).split([1, len(SHORT_LABELS), 2, 1], 1)
        weight = torch.sigmoid(event) + 1e-3
        pooled = _pool(weight * kind) / _pool(weight)
        return {"event": event, "type": pooled, "long": long, "overload": overload, "embedding": x.mean(2), "hidden": x}

    def image(self, features: Tensor) -> Tensor:
        """Return the log-mel, and its difference from the 200 ms around: (batch, 2, 2 * T, MEL_BANDS)."""
        mel = features[:, :MEL_CHANNELS].transpose(1, 2).reshape(-1, 2 * features.shape[2], MEL_BANDS)
        around = F.avg_pool1d(mel.transpose(1, 2), 41, 1, 20, count_include_pad=False).transpose(1, 2)
        return torch.stack([mel, mel - around], 1)

    def bass(self, low: Tensor, frames: int) -> Tensor:
        """Return what the low bins show, at each frame: (batch, 48, T)."""
        spread = F.avg_pool1d(low, 25, 1, 12, count_include_pad=False)
        bass = self.low(torch.cat([low, spread], 1))
        return bass[:, :, :, None].expand(-1, -1, -1, 4).reshape(bass.shape[0], -1, frames)


class Committee(nn.Module):
    """Networks fitted to different clips. Its output is the mean of theirs; of hidden, the channels of all."""

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, features: Tensor, low: Tensor) -> dict[str, Tensor]:
        outputs = [member(features, low) for member in self.members]
        mean = {name: torch.stack([output[name] for output in outputs]).mean(0) for name in outputs[0]}
        return mean | {"hidden": torch.cat([output["hidden"] for output in outputs], 1)}


def fitted(names: str) -> Committee:
    """Return the committee of the networks WORK/<name>.pt; ``names`` joins them by "+": "g+i"."""
    members = []
    for name in names.split("+"):
        members.append(Network())
        members[-1].load_state_dict(torch.load(WORK / f"{name}.pt"))
    return Committee(members).eval()


def _pool(x: Tensor) -> Tensor:
    return F.avg_pool1d(x, POOL_FRAMES, 1, POOL_FRAMES // 2, count_include_pad=False)


def probabilities(logits: dict[str, Tensor]) -> Tensor:
    """Return the uncalibrated scores (batch, T, labels).

    The probability of a short event is shared by its names. Clipping begins and ends with an overloaded frame.
    """
    short = torch.sigmoid(logits["event"]) * torch.softmax(logits["type"], 1)
    long = torch.sigmoid(logits["long"])
    clipping = trimmed(long[:, :1], torch.sigmoid(logits["overload"]))[:, 0]
    by_name = {name: short[:, k] for k, name in enumerate(SHORT_LABELS)} | {"clipping": clipping, "hum": long[:, 1]}
    return torch.stack([by_name[name] for name in LABELS], 2)


class Detector(nn.Module):
    """The shipped graph: waveform (batch, samples) to scores (batch, T, labels), embedding (batch, CHANNELS) and
    head_features (batch, T, channels).

    ``head_features`` are for detectors that are trained on them: the hidden channels of each network, then those of the
    front end, which begin with the log-mel.
    Raw probabilities become events first (``evened``), then a line on each label's logit, fitted on the maxima of
    detected events, makes them confidences: scale, offset (labels,).
    """

    def __init__(self, network: nn.Module, scale: Tensor, offset: Tensor, front_end: nn.Module | None = None) -> None:
        super().__init__()
        self.front_end = front_end or FrontEnd()
        self.network = network
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, low = self.front_end(waveform)
        logits = self.network(features, low)
        scores = calibrated(evened(probabilities(logits)), self.scale, self.offset)
        return scores, logits["embedding"], torch.cat([logits["hidden"], features], 1).transpose(1, 2)


def closed(p: Tensor, frames: int = 121) -> Tensor:
    """p (batch, T, labels) with the gaps of clipping and hum filled that are shorter than ``frames``."""
    long = p[:, :, LONG].transpose(1, 2)
    risen = F.max_pool1d(long, frames, 1, frames // 2)
    filled = -F.max_pool1d(-risen, frames, 1, frames // 2)
    by_column = {name: filled[:, k] for k, name in enumerate(LONG_LABELS)}
    return torch.stack([by_column[n] if n in by_column else p[:, :, k] for k, n in enumerate(LABELS)], 2)


def evened(p: Tensor) -> Tensor:
    """p (batch, T, labels) with every frame of an event at the event's maximum.

    An event is a stretch at or above its label's extent level. So the confidence decides whether an event is reported,
    but does not trim it.
    """
    level = torch.tensor([EXTENT_LEVELS[name] for name in LABELS])[:, None]
    filled = closed(p).transpose(1, 2)
    inside = (filled >= level).to(filled.dtype)
    return torch.maximum(*_spread(filled, inside)).transpose(1, 2)


def trimmed(extent: Tensor, active: Tensor) -> Tensor:
    """Return (batch, 1, T): within each stretch of ``extent``, the lesser of the highest ``active`` before and after.

    So an event begins and ends at what is active on both sides of a frame, not at the extent alone.
    """
    inside = (extent >= EXTENT_LEVELS["clipping"]).to(extent.dtype)
    before, after = _spread(active * inside, inside)
    return torch.maximum(torch.minimum(before, after), torch.minimum(extent, active))


def _spread(top: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``top`` (batch, labels, T) with each frame at the highest of its stretch so far, and from there on.

    It works by doubling steps, for both directions at once. ``inside`` is 1 in the frames of stretches.
    """
    top, inside = torch.stack([top, top.flip(2)]), torch.stack([inside, inside.flip(2)])
    frames = top.shape[3]  # once: in the graph, each mention of it is three nodes
    step, joined = 1, inside * _later(inside, 1, frames)
    while step < frames:
        top = torch.maximum(top, _later(top, step, frames) * joined)
        joined = joined * _later(joined, step, frames)
        step *= 2
    return top[0], top[1].flip(2)


def _later(x: Tensor, step: int, frames: int) -> Tensor:
    """x (2, batch, labels, frames) later by ``step`` frames, zeros coming in."""
    return F.pad(x, (step, 0))[:, :, :, :frames]


def calibrated(p: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    p = p.clamp(1e-6, 1 - 1e-6)
    return torch.sigmoid((torch.log(p) - torch.log(1 - p)) * scale + offset)
