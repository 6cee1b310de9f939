"""The student: a small network on the lean front end, which learns from the truth and from a teacher's scores.

It gives the same logits as ``network.Network``, so events, loss and calibration are those of that one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.lean_front_end import FEATURE_CHANNELS, MEL_BANDS, MEL_CHANNELS
from training.network import CHANNELS, DILATIONS, Block, Network, _layer

INNER, NARROW = 48, 16  # channels inside a block, and of the image's second layer


class Student(Network):
    """(features (batch, FEATURE_CHANNELS, T), low bins (batch, LOW_BINS, T // 4)) to a dictionary of logits.

    It is a ``Network`` with fewer channels inside its blocks and in its image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spectral[1] = _layer(nn.Conv2d, 16, NARROW, (4, 3), stride=(2, 2), padding=(1, 1))
        self.spectral[2] = _layer(nn.Conv2d, NARROW, 32, 3, stride=(1, 2), padding=1)
        self.fine[0] = _layer(nn.Conv1d, FEATURE_CHANNELS - MEL_CHANNELS, 96, 3, padding=1)
        self.trunk = nn.Sequential(*(Block(CHANNELS, dilation, INNER) for dilation in DILATIONS))

    def image(self, features: Tensor) -> Tensor:
        """Return the log-mel, and its difference from the 210 ms around: (batch, 2, 2 * T, MEL_BANDS)."""
        frames = features.shape[2]
        mel = features[:, :MEL_CHANNELS].transpose(1, 2).reshape(-1, 2 * frames, MEL_BANDS)
        by_frame = features[:, :MEL_BANDS] + features[:, MEL_BANDS:MEL_CHANNELS]
        around = F.avg_pool1d(by_frame, 21, 1, 10, count_include_pad=False).transpose(1, 2) * 0.5
        change = (mel.reshape(-1, frames, 2, MEL_BANDS) - around[:, :, None]).reshape(-1, 2 * frames, MEL_BANDS)
        return torch.stack([mel, change], 1)
