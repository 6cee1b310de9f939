"""The front end of the student: nearly the features of ``front_end``, for a third of the cost.

Nothing is learned here. T is the number of 10 ms frames; x is (batch, samples) at SAMPLE_RATE_HZ. What costs most there
is left out or coarser here: bins of a spectrum that one mel band joins anyway, the correlation with the past (at 4 kHz,
as far as 200 ms), peaks of the fourth difference, and counts of samples near the peak, which the moments show too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.front_end import (
    LOW_BINS,
    LOW_DECIMATION,
    LOW_FIRST_BIN,
    LOW_WINDOW,
    MEL_BANDS,
    MEL_HOP,
    MEL_WINDOW,
    MILLISECOND,
    PHASE_BANDS,
    PHASE_BINS,
    _banded,
    _bands,
    _dft,
    _folded,
    _folded_dft,
    _framed,
    _local_max,
    _log,
    _low_bins,
    _low_pass,
    _mel_matrix,
    _phase_error,
    _repeat_masks,
    _repeats,
    _smooth,
)
from training.labels import FRAME_HOP_SAMPLES

# Bins of the mel path's spectrum that are computed: all of them, from 1.5 kHz every second one, from 8 kHz every third.
# The window's main lobe is four bins wide, so what lies between two of them is still in both.
SPARSE_FROM_BINS = (30, 160)

REPEAT_DECIMATION = 8
REPEAT_BLOCK = 40  # 10 ms at 4 kHz: each block is searched for in the past
REPEAT_GROUP = 10  # blocks that share one stretch of past, 100 ms: lags reach 100 ms for the first, 200 for the last
REPEAT_LAGS = ((20, 80), (80, 10**6))

TONE_WINDOW, TONE_BANDS = 160, 7  # at 4 kHz: 40 ms every 10 ms

MEL_CHANNELS = 2 * MEL_BANDS
FINE_CHANNELS = 3 * 10 + 3
SHAPE_CHANNELS = 2 * 3 + 2 * 2 + 3 + 2
PHASE_CHANNELS = 2 * PHASE_BANDS + TONE_BANDS
FEATURE_CHANNELS = MEL_CHANNELS + FINE_CHANNELS + SHAPE_CHANNELS + len(REPEAT_LAGS) + PHASE_CHANNELS


def _sparse_bins() -> Tensor:
    """Return which bins of the mel path's spectrum are computed."""
    second, third = SPARSE_FROM_BINS
    parts = torch.arange(second), torch.arange(second, third, 2), torch.arange(third, MEL_WINDOW // 2, 3)
    return torch.cat(parts)


class LeanFrontEnd(nn.Module):
    """Waveform (batch, samples) to (features (batch, FEATURE_CHANNELS, T), low bins (batch, LOW_BINS, T // 4))."""

    def __init__(self) -> None:
        super().__init__()
        bins = _sparse_bins()
        for part, matrix in zip(("cosines", "sines"), _folded_dft(MEL_WINDOW), strict=True):
            self.register_buffer(f"mel_{part}", matrix[:, bins].contiguous())
        filters = _mel_matrix(MEL_WINDOW // 2)[bins]
        self.register_buffer("mel", filters / filters.sum(0))
        self.register_buffer("phase_bands", _bands(PHASE_BINS, PHASE_BANDS)[bins[bins < PHASE_BINS]])
        for part, matrix in zip(("cosines", "sines"), _folded_dft(TONE_WINDOW), strict=True):
            self.register_buffer(f"tone_{part}", matrix)
        self.register_buffer("tone_bands", _bands(TONE_WINDOW, TONE_BANDS + 1)[: TONE_WINDOW // 2, :TONE_BANDS])
        self.register_buffer("low_dft", _dft(LOW_WINDOW, LOW_FIRST_BIN, LOW_BINS))
        sharp = _banded(_low_pass(64, REPEAT_DECIMATION, True), REPEAT_DECIMATION)
        slow = _banded(_low_pass(LOW_DECIMATION * 8, LOW_DECIMATION, False), LOW_DECIMATION)
        self.register_buffer("decimation", torch.cat([sharp, slow], 1))
        self.register_buffer("masks", _repeat_masks(REPEAT_BLOCK, REPEAT_GROUP, REPEAT_LAGS))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        frames = x.shape[1] // FRAME_HOP_SAMPLES
        decimated = _framed(x, 2 * FRAME_HOP_SAMPLES, FRAME_HOP_SAMPLES, frames) @ self.decimation
        sharp = decimated[:, :, :REPEAT_BLOCK].reshape(x.shape[0], -1)
        slow = decimated[:, :, REPEAT_BLOCK:].reshape(x.shape[0], -1)
        mel, phase = self.spectral_features(x, frames)
        repeat = _repeats(sharp, frames, REPEAT_BLOCK, REPEAT_GROUP, self.masks)
        tone = self.tone_features(sharp, frames)
        features = torch.cat([mel, self.sample_features(x, frames), repeat, phase, tone], 1)
        return features, _low_bins(slow, frames, self.low_dft)

    def spectral_features(self, x: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Return the log-mel (batch, 2 * MEL_BANDS, T) and the phase-prediction error (batch, 2 * PHASE_BANDS, T).

        Each has the bands of a frame's first 5 ms, then those of its second 5 ms.
        """
        sums, differences = _folded(x, MEL_WINDOW, MEL_HOP, 2 * frames)
        real, imaginary = sums @ self.mel_cosines, differences @ self.mel_sines
        logs = _log((real.square() + imaginary.square()) @ self.mel, 1e-10) + 3.0
        num = self.phase_bands.shape[0]
        phase = _phase_error(real[:, :, :num], imaginary[:, :, :num], self.phase_bands)
        return (
            logs.reshape(-1, frames, 2 * MEL_BANDS).transpose(1, 2),
            phase.reshape(-1, frames, 2 * PHASE_BANDS).transpose(1, 2),
        )

    def tone_features(self, sharp: Tensor, frames: int) -> Tensor:
        """Return the phase-prediction error with windows of 40 ms at 4 kHz: (batch, TONE_BANDS, T)."""
        sums, differences = _folded(sharp, TONE_WINDOW, REPEAT_BLOCK, frames)
        return _phase_error(sums @ self.tone_cosines, differences @ self.tone_sines, self.tone_bands).transpose(1, 2)

    def sample_features(self, x: Tensor, frames: int) -> Tensor:
        """Return what single samples show: (batch, FINE_CHANNELS + SHAPE_CHANNELS, T).

        First energies and peaks by the millisecond, against the 210 ms around: the energy of the signal, and the energy
        and peak of its second difference; then the three local levels; then ``shape_features``.
        """
        padded = F.pad(x, (4, 4))
        second = (2 * x - padded[:, 5:-3] - padded[:, 3:-5]).reshape(-1, frames * 10, MILLISECOND)
        wide_bend = (2 * x - padded[:, 8:] - padded[:, :-8]).reshape(-1, frames, FRAME_HOP_SAMPLES).abs()
        bend = second.abs()
        power = second.square().mean(2)
        energy = x.reshape(-1, frames * 10, MILLISECOND).square().mean(2)
        fine = torch.stack([energy, power, bend.amax(2).square()], 1).reshape(-1, 3, frames, 10)
        level = torch.stack([energy, power, power], 1).reshape(-1, 3, frames, 10).mean(3)
        level = _log(_smooth(level, 21), 1e-9)
        relative = (_log(fine, 1e-9) - level[:, :, :, None]).transpose(2, 3).reshape(-1, 30, frames)
        bends = (bend.reshape(-1, frames, FRAME_HOP_SAMPLES), wide_bend)
        return torch.cat([relative, level + 2.0, self.shape_features(x, bends, frames)], 1)

    def shape_features(self, x: Tensor, bends: tuple[Tensor, Tensor], frames: int) -> Tensor:
        """Return the shape of the tops, for the upper and the lower half of the wave: (batch, SHAPE_CHANNELS, T).

        These are moments of the signal over its 30 ms peak, which near 1 mean flat; that peak against the 210 ms and
        the 10 ms around; equal neighboring samples; zeros; and how much the wave bends near its peak, at two scales.
        bends : (batch, T, FRAME_HOP_SAMPLES) each.
        """
        blocks = x.reshape(-1, frames, FRAME_HOP_SAMPLES)
        peak = torch.stack([blocks.amax(2), (-blocks).amax(2)], 1).clamp(min=0)
        near, wide = _local_max(peak, 3) + 1e-5, _local_max(peak, 21) + 1e-5
        moments: list[list[Tensor]] = [[], [], []]
        for side, sign in enumerate((1.0, -1.0)):
            z = F.relu(blocks * (sign / near[:, side, :, None]))
            for of_power in moments:  # 4, 16, 64
                z = z.square().square()
                of_power.append(_log(z.mean(2), 1e-4))
        shares = torch.stack([moment for of_power in moments for moment in of_power], 1)
        heights = torch.cat([torch.log(near / wide), torch.log(peak / near + 1e-3) * 0.5], 1)
        top = near.amax(1)[:, :, None]
        high = (blocks.abs() > 0.5 * top).float()
        step = (blocks - F.pad(x, (1, 0))[:, :-1].reshape(-1, frames, FRAME_HOP_SAMPLES)).abs()
        equal = ((step < 0.01 * top).float() * high).sum(2) / (high.sum(2) + 1)
        exact = (step < 1e-5).float().mean(2)
        zero = (blocks.abs() < 2e-5).float().mean(2)
        highest = 0.75 * wide
        high = (blocks > highest[:, 0, :, None]).float() + (-blocks > highest[:, 1, :, None]).float()
        count = _smooth(high.sum(2)[:, None], 5) + 1
        bent = []
        for size in bends:
            there = _smooth((size * high).sum(2)[:, None], 5) / count
            bent.append(torch.log((there + 1e-6) / (_smooth(size.mean(2)[:, None], 5) + 1e-6)) * 0.5)
        return torch.cat([shares, heights, torch.stack([equal, exact, zero], 1), *bent], 1)
