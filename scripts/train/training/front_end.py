"""The fixed front end: a waveform to features that show each fault, with nothing learned.

All of it is slicing, pooling and matrix products, so that the exported graph runs on CPU and CUDA without exotic
operators. T is the number of 10 ms frames; x is (batch, samples) at SAMPLE_RATE_HZ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.labels import FRAME_HOP_SAMPLES, SAMPLE_RATE_HZ

MEL_BANDS = 64
MEL_WINDOW, MEL_HOP = 640, 160  # 20 ms every 5 ms

MILLISECOND = SAMPLE_RATE_HZ // 1000
LOW_DECIMATION = 16
LOW_WINDOW, LOW_HOP = 512, 80  # at 2 kHz: 256 ms every 40 ms, bins of 3.9 Hz
LOW_FIRST_BIN, LOW_BINS = 8, 104  # 31 to 434 Hz

REPEAT_DECIMATION = 4
REPEAT_BLOCK = 80  # 10 ms at 8 kHz: each block is searched for in the past
# Blocks that share one stretch of past, 200 ms: lags reach 200 ms for the first and 400 ms for the last.
REPEAT_GROUP = 20
REPEAT_LAGS = ((40, 160), (160, 10**6))

PHASE_BINS, PHASE_BANDS = 160, 10  # of the mel path's spectrum: up to 8 kHz, where phase can be predicted
TONE_WINDOW, TONE_BANDS = 320, 8  # at 8 kHz: 40 ms every 10 ms, which resolves the harmonics of a voice

TOPS = (0.97, 0.93, 0.87, 0.78, 0.65)  # shares of the local peak over which samples are counted

MEL_CHANNELS = 2 * MEL_BANDS
FINE_CHANNELS = 4 * 10 + 4
SHAPE_CHANNELS = 2 * 4 + 2 * 2 + 3
REPEAT_CHANNELS = 2
PHASE_CHANNELS = 2 * PHASE_BANDS + TONE_BANDS
TOP_CHANNELS = 2 * len(TOPS) + 3
FEATURE_CHANNELS = MEL_CHANNELS + FINE_CHANNELS + SHAPE_CHANNELS + REPEAT_CHANNELS + PHASE_CHANNELS + TOP_CHANNELS


def _mel_matrix(bins: int, low_hz: float = 60.0) -> Tensor:
    """Triangular filters (bins, MEL_BANDS), even on the mel scale from low_hz to half the sample rate."""

    def mel(hz: float) -> float:
        return 2595.0 * math.log10(1 + hz / 700.0)

    edges = torch.linspace(mel(low_hz), mel(SAMPLE_RATE_HZ / 2), MEL_BANDS + 2)
    edges = 700.0 * (10 ** (edges / 2595.0) - 1)
    hz = torch.arange(bins) * SAMPLE_RATE_HZ / MEL_WINDOW
    rise = (hz[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[None, 2:] - hz[:, None]) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rise, fall).clamp(min=0)
    nearest = (edges[1:-1] * MEL_WINDOW / SAMPLE_RATE_HZ).round().long()
    filters[nearest, torch.arange(MEL_BANDS)] = filters[nearest, torch.arange(MEL_BANDS)].clamp(min=0.5)
    return filters / filters.sum(0)


def _folded_dft(window: int) -> tuple[Tensor, Tensor]:
    """Hann-windowed cosines and sines about a frame's middle, for its folded halves: (window // 2, window // 2) each.

    The window is even about the middle. So the sum of a sample and its mirror image meets cosines alone, and their
    difference sines alone: half the products of ``_dft``. All phases of a bin turn by the same angle against those of
    ``_dft``, which neither a power nor a phase-prediction error shows. Bins are 0 to window // 2 - 1.
    """
    half = window // 2
    t = torch.arange(half, dtype=torch.float64)
    angle = 2 * math.pi * (t - (window - 1) / 2)[:, None] * torch.arange(half, dtype=torch.float64) / window
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi * (t + 0.5) / window)
    scale = (hann * 4 / window)[:, None]
    return (torch.cos(angle) * scale).float(), (torch.sin(angle) * scale).float()


def _folded(x: Tensor, window: int, hop: int, frames: int) -> tuple[Tensor, Tensor]:
    """Frames of x as in ``_framed``, folded: the sums and the differences of mirrored samples.

    Both (batch, frames, window // 2); window must be an even multiple of hop.
    """
    pieces = window // hop
    left = (window - hop) // 2
    blocks = F.pad(x, (left, pieces * hop - left)).reshape(x.shape[0], -1, hop)
    mirrored = blocks.flip(2)
    pairs = [(k, pieces - 1 - k) for k in range(pieces // 2)]
    sums = [blocks[:, a : a + frames] + mirrored[:, b : b + frames] for a, b in pairs]
    differences = [blocks[:, a : a + frames] - mirrored[:, b : b + frames] for a, b in pairs]
    return torch.cat(sums, 2), torch.cat(differences, 2)


def _banded(taps: Tensor, decimation: int) -> Tensor:
    """Return a matrix (2 * FRAME_HOP_SAMPLES, FRAME_HOP_SAMPLES // decimation) that decimates a block.

    It takes the block with half a block before and after it, and holds ``taps`` (taps,) once for each output.
    """
    first = FRAME_HOP_SAMPLES // 2 - (len(taps) - decimation) // 2
    matrix = torch.zeros(2 * FRAME_HOP_SAMPLES, FRAME_HOP_SAMPLES // decimation)
    for column in range(matrix.shape[1]):
        start = first + column * decimation
        matrix[start : start + len(taps), column] = taps
    return matrix


def _dft(window: int, first: int, bins: int) -> Tensor:
    """Hann-windowed cosines then sines: (window, 2 * bins), scaled so that a full-scale sine has power about 1."""
    t = torch.arange(window, dtype=torch.float64)
    angle = 2 * math.pi * t[:, None] * (first + torch.arange(bins, dtype=torch.float64)) / window
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi * (t + 0.5) / window)
    return (torch.cat([torch.cos(angle), torch.sin(angle)], 1) * hann[:, None] * (4 / window)).float()


def _bands(bins: int, bands: int) -> Tensor:
    """Membership (bins, bands) of bins in bands that widen with frequency; bin 0 is left out."""
    edges = torch.logspace(0, math.log10(bins), bands * 2)
    index = torch.bucketize(torch.arange(bins).float() + 0.5, edges[1:-1]) // 2
    member = F.one_hot(index.clamp(max=bands - 1), bands).float()
    member[0] = 0
    return member


def _phase_error(real: Tensor, imaginary: Tensor, bands: Tensor) -> Tensor:
    """Return the phase-prediction error per band of a spectrum (batch, frames, bins): (batch, frames, bands).

    It is the complex-domain onset function of Duxbury et al. (2003), as the log of its share in the band's energy. The
    phase of a steady tone turns by the same angle at each hop. If time jumps, it does not, although the level stays.
    """
    real, imaginary = F.pad(real, (0, 0, 2, 0)), F.pad(imaginary, (0, 0, 2, 0))
    a, b, c, d = real[:, 1:-1], imaginary[:, 1:-1], real[:, :-2], imaginary[:, :-2]
    turn_real, turn_imaginary = a * c + b * d, b * c - a * d
    scale = torch.rsqrt(turn_real.square() + turn_imaginary.square() + 1e-18)
    predicted_real = (a * turn_real - b * turn_imaginary) * scale
    predicted_imaginary = (a * turn_imaginary + b * turn_real) * scale
    a, b = real[:, 2:], imaginary[:, 2:]
    error = (a - predicted_real).square() + (b - predicted_imaginary).square()
    energy = a.square() + b.square() + predicted_real.square() + predicted_imaginary.square()
    return torch.log((error @ bands + 1e-11) / (energy @ bands + 1e-10)) * 0.5


def _low_pass(taps: int, decimation: int, emphasis: bool) -> Tensor:
    """Hann-windowed sinc (taps,) for decimation; with emphasis, its second difference, which whitens the sound."""
    n = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2
    cut = 0.9 / decimation
    sinc = cut * torch.special.sinc(cut * n) * (0.5 + 0.5 * torch.cos(2 * math.pi * n / taps))
    if emphasis:
        reach = decimation
        sinc = F.pad(sinc, (reach, reach))
        sinc = 2 * sinc - torch.roll(sinc, reach) - torch.roll(sinc, -reach)
    return sinc.float()


def _framed(x: Tensor, window: int, hop: int, frames: int) -> Tensor:
    """Frames of x centred on each hop: (batch, frames, window); window must be a multiple of hop."""
    left = (window - hop) // 2
    pieces = window // hop if window % hop == 0 else window // hop + 1
    padded = F.pad(x, (left, pieces * hop - left))
    shifted = [padded[:, k * hop : k * hop + frames * hop].reshape(-1, frames, hop) for k in range(pieces)]
    return torch.cat(shifted, 2)[:, :, :window]


def _log(power: Tensor, floor: float) -> Tensor:
    """Natural logarithm of a power with a floor, brought to about unit scale."""
    return torch.log(power + floor) * 0.25


def _smooth(x: Tensor, frames: int) -> Tensor:
    """Moving average of (batch, channels, T) along T, ``frames`` wide and odd; edges average what is there."""
    return F.avg_pool1d(x, frames, 1, frames // 2, count_include_pad=False)


def _local_max(x: Tensor, frames: int) -> Tensor:
    """Moving maximum along the last axis of (batch, channels, T), ``frames`` wide and odd."""
    return F.max_pool1d(x, frames, 1, frames // 2)


def _low_bins(slow: Tensor, frames: int, low_dft: Tensor) -> Tensor:
    """Return the log power in bins of 3.9 Hz from 31 to 434 Hz, every 40 ms: (batch, LOW_BINS, T // 4).

    slow : (batch, samples) at 2 kHz. low_dft : (LOW_WINDOW, 2 * LOW_BINS).
    """
    pieces = frames // 4
    padded = F.pad(slow, (216, 216 + LOW_HOP))
    shifted = [padded[:, k * LOW_HOP : (k + pieces) * LOW_HOP].reshape(-1, pieces, LOW_HOP) for k in range(7)]
    spectrum = torch.cat(shifted, 2)[:, :, :LOW_WINDOW] @ low_dft
    power = spectrum[:, :, :LOW_BINS].square() + spectrum[:, :, LOW_BINS:].square()
    return (_log(power, 1e-10) + 3.0).transpose(1, 2)


def _repeat_masks(block: int, group: int, ranges: Sequence[tuple[int, int]]) -> Tensor:
    """Return what ``_repeats`` adds to each lag: 0 inside a range of lags, else -4."""
    past = torch.arange(2 * group * block) - group * block
    lag = torch.arange(group)[:, None] * block - past[None, :]
    masks = torch.stack([(lag < a) | (lag >= b) for a, b in ranges]).float() * -4.0
    far, near = masks.split(group * block, 2)
    return F.pad(torch.cat([near, far], 1), (0, block + 1), value=-4.0)


def _repeats(sharp: Tensor, frames: int, block: int, group: int, masks: Tensor) -> Tensor:
    """Return how exactly each block repeats what was before, in each range of lags: (batch, ranges, T).

    sharp : (batch, samples), ``block`` of them a frame. masks : from ``_repeat_masks``, for this block and group. The
    value is -0.5 log(1.002 - correlation).

    Blocks are taken by groups. Each stretch of past is compared, at every shift, with the blocks of its own group
    and with those of the next one by one matrix product, and lags outside a range are masked.
    """
    stretch = group * block
    groups = -(-frames // group)
    padded = F.pad(sharp, (stretch, groups * stretch - frames * block + stretch))
    pieces = padded.reshape(-1, groups + 2, stretch)
    reach = torch.cat([pieces[:, :-1], pieces[:, 1:, :block]], 2)
    # Row k is the reach moved by k samples. Copies in a row, read in rows longer by one, move by one each: that is
    # two copies of the whole, not one slice for each row. The last columns run into the next copy and are masked.
    width = stretch + block
    copies = reach[:, :, None].expand(-1, -1, block + 1, -1).reshape(-1, groups + 1, (block + 1) * width)
    keys = copies[:, :, : block * (width + 1)].reshape(-1, groups + 1, block, width + 1)
    # A moving sum over a block in two steps: pooling over all of it at once takes four times as long. (As a
    # convolution it would be made float16 on a GPU, which has no room for powers.)
    part = block // 5
    sums = F.avg_pool1d(reach.square(), part, 1) * part
    power = torch.stack([sums[:, :, k * part : k * part + stretch + 1] for k in range(5)]).sum(0)
    scale = F.pad(torch.rsqrt(power + 1e-7), (0, block))
    blocks = pieces.reshape(-1, groups + 2, group, block)
    own_power = blocks.square().sum(3, keepdim=True)
    blocks = blocks * torch.rsqrt(own_power + 1e-7)
    alike = (torch.cat([blocks[:, :-1], blocks[:, 1:]], 2) @ keys) * scale[:, :, None]
    ranges = []
    for mask in masks:
        best = (alike + mask).amax(3)
        ranges.append(torch.maximum(best[:, 1:, :group], best[:, :-1, group:]))
    best = torch.stack(ranges, 1).clamp(0, 1).reshape(-1, 2, groups * group)[:, :, :frames]
    return -torch.log(1.002 - best) * 0.5


class FrontEnd(nn.Module):
    """Waveform (batch, samples) to (features (batch, FEATURE_CHANNELS, T), low bins (batch, LOW_BINS, T // 4))."""

    def __init__(self) -> None:
        super().__init__()
        bins = MEL_WINDOW // 2
        for name, window in (("mel", MEL_WINDOW), ("tone", TONE_WINDOW)):
            for part, matrix in zip(("cosines", "sines"), _folded_dft(window), strict=True):
                self.register_buffer(f"{name}_{part}", matrix)
        self.register_buffer("mel", _mel_matrix(bins))
        self.register_buffer("phase_bands", _bands(PHASE_BINS, PHASE_BANDS))
        self.register_buffer("tone_bands", _bands(TONE_WINDOW // 2, TONE_BANDS))
        self.register_buffer("low_dft", _dft(LOW_WINDOW, LOW_FIRST_BIN, LOW_BINS))
        sharp = _banded(_low_pass(32, REPEAT_DECIMATION, True), REPEAT_DECIMATION)
        slow = _banded(_low_pass(LOW_DECIMATION * 8, LOW_DECIMATION, False), LOW_DECIMATION)
        self.register_buffer("decimation", torch.cat([sharp, slow], 1))
        self.register_buffer("masks", _repeat_masks(REPEAT_BLOCK, REPEAT_GROUP, REPEAT_LAGS))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        frames = x.shape[1] // FRAME_HOP_SAMPLES
        decimated = _framed(x, 2 * FRAME_HOP_SAMPLES, FRAME_HOP_SAMPLES, frames) @ self.decimation
        sharp = decimated[:, :, :REPEAT_BLOCK].reshape(x.shape[0], -1)
        slow = decimated[:, :, REPEAT_BLOCK:].reshape(x.shape[0], -1)
        mel, phase = self.spectral_features(x, frames)
        fine, shape = self.fine_features(x, frames), self.shape_features(x, frames)
        repeat = _repeats(sharp, frames, REPEAT_BLOCK, REPEAT_GROUP, self.masks)
        tone = self.tone_features(sharp, frames)
        parts = [mel, fine, shape, repeat, phase, tone, self.top_features(x, frames)]
        return torch.cat(parts, 1), _low_bins(slow, frames, self.low_dft)

    def spectral_features(self, x: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Return the log-mel (batch, 2 * MEL_BANDS, T) and the phase-prediction error (batch, 2 * PHASE_BANDS, T).

        Each has the bands of a frame's first 5 ms, then those of its second 5 ms.
        """
        sums, differences = _folded(x, MEL_WINDOW, MEL_HOP, 2 * frames)
        real, imaginary = sums @ self.mel_cosines, differences @ self.mel_sines
        logs = _log((real.square() + imaginary.square()) @ self.mel, 1e-10) + 3.0
        phase = _phase_error(real[:, :, :PHASE_BINS], imaginary[:, :, :PHASE_BINS], self.phase_bands)
        return (
            logs.reshape(-1, frames, 2 * MEL_BANDS).transpose(1, 2),
            phase.reshape(-1, frames, 2 * PHASE_BANDS).transpose(1, 2),
        )

    def tone_features(self, sharp: Tensor, frames: int) -> Tensor:
        """Return the phase-prediction error with windows of 40 ms at 8 kHz: (batch, TONE_BANDS, T)."""
        sums, differences = _folded(sharp, TONE_WINDOW, REPEAT_BLOCK, frames)
        real, imaginary = sums @ self.tone_cosines, differences @ self.tone_sines
        return _phase_error(real, imaginary, self.tone_bands).transpose(1, 2)

    def top_features(self, x: Tensor, frames: int) -> Tensor:
        """Return how often the wave is near its 210 ms peak and how it bends there: (batch, TOP_CHANNELS, T).

        For both halves of the wave. How much it bends is measured at two scales, and whether inward. Overload piles
        samples up under the peak and straightens the tops.
        """
        blocks = x.reshape(-1, frames, FRAME_HOP_SAMPLES)
        halves = torch.stack([blocks, -blocks], 1)
        wide = _local_max(halves.amax(3), 21).clamp(min=0) + 1e-5
        ratio = halves / wide[:, :, :, None]
        shares = [_smooth((ratio > top).float().mean(3), 5) for top in TOPS]
        counted = torch.log(torch.cat(shares, 1) + 1e-3) * 0.5 + 2.0
        high = (ratio.amax(1) > 0.75).float()
        bends = []
        for reach in (1, 4):
            padded = F.pad(x, (reach, reach))
            bend = (2 * x - padded[:, 2 * reach :] - padded[:, : x.shape[1]]).reshape(-1, frames, FRAME_HOP_SAMPLES)
            size = bend.abs()
            there = _smooth((size * high).sum(2)[:, None], 5) / (_smooth(high.sum(2)[:, None], 5) + 1)
            anywhere = _smooth(size.mean(2)[:, None], 5)
            bends.append(torch.log((there + 1e-6) / (anywhere + 1e-6)) * 0.5)
        inward = _smooth((bend * blocks.sign() * high).sum(2)[:, None], 5) / (
            _smooth((size * high).sum(2)[:, None], 5) + 1e-6
        )
        return torch.cat([counted, *bends, inward], 1)

    def fine_features(self, x: Tensor, frames: int) -> Tensor:
        """Return energies and peaks by the millisecond, against the 210 ms around: (batch, FINE_CHANNELS, T).

        The energy of the signal and of its second difference, the peaks of its second and fourth differences; then the
        four local levels.
        """
        padded = F.pad(x, (2, 2))
        second = padded[:, 2:] - 2 * padded[:, 1:-1] + padded[:, :-2]
        fourth = second[:, 2:] - 2 * second[:, 1:-1] + second[:, :-2]
        second = second[:, 1:-1]
        blocks = [s.reshape(s.shape[0], frames * 10, MILLISECOND) for s in (x, second, fourth)]
        energies = [block.square().mean(2) for block in blocks]
        peaks = [block.abs().amax(2).square() for block in blocks[1:]]
        fine = torch.stack([energies[0], energies[1], *peaks], 1)
        by_frame = fine.reshape(-1, 4, frames, 10)
        level = torch.stack([energies[0], energies[1], energies[1], energies[2]], 1).reshape(-1, 4, frames, 10).mean(3)
        level = _log(_smooth(level, 21), 1e-9)
        relative = _log(by_frame, 1e-9) - level[:, :, :, None]
        return torch.cat([relative.transpose(2, 3).reshape(-1, 40, frames), level + 2.0], 1)

    def shape_features(self, x: Tensor, frames: int) -> Tensor:
        """Return how flat the tops are, for the upper and the lower half of the wave: (batch, 15, T).

        These are moments of the signal over its 30 ms peak, which near 1 mean flat; peaks against the 210 ms around;
        equal neighboring samples; and zeros.
        """
        blocks = x.reshape(-1, frames, FRAME_HOP_SAMPLES)
        halves = torch.stack([blocks, -blocks], 1).clamp(min=0)
        peak = halves.amax(3)
        near = _local_max(peak, 3) + 1e-5
        z = halves / near[:, :, :, None]
        features = []
        for power in (2, 4, 16, 64):
            while_power = z.square() if power <= 4 else z.square().square()
            z = while_power
            features.append(_log(z.mean(3), 1e-4))
        wide = _local_max(peak, 21) + 1e-5
        features.append(torch.log(near / wide))
        features.append(torch.log(peak / near + 1e-3) * 0.5)
        previous = F.pad(x, (1, 0))[:, :-1].reshape(-1, frames, FRAME_HOP_SAMPLES)
        step = (blocks - previous).abs()
        top = near.amax(1)[:, :, None]
        high = (blocks.abs() > 0.5 * top).float()
        equal = ((step < 0.01 * top).float() * high).sum(2) / (high.sum(2) + 1)
        exact = (step < 1e-5).float().mean(2)
        zero = (blocks.abs() < 2e-5).float().mean(2)
        return torch.cat([*features, torch.stack([equal, exact, zero], 1)], 1)
