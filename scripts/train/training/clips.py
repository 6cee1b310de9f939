"""One training clip: a stretch of a recording, coded, made faulty or not, coded again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training import codecs, faults, long_faults, streams
from training.labels import FRAME_HOP_SAMPLES, LABELS, LONG_LABELS, SAMPLE_RATE_HZ, SHORT_LABELS
from training.levels import gain
from training.lookalikes import lookalike
from training.sources import Pool
from training.variety import varied

CLIP_SECONDS = 8
CLIP_SAMPLES = CLIP_SECONDS * SAMPLE_RATE_HZ
CLIP_FRAMES = CLIP_SAMPLES // FRAME_HOP_SAMPLES

OVERLOADED = "overloaded"
# Columns of the targets. Clipping covers the quiet moments between overloaded ones too; ``overloaded`` does not.
TARGETS = (*LABELS, OVERLOADED)

# A short fault's target lasts 70 ms at least: the onset stays, and a client's minimum of 50 ms does not hide it.
SHORTEST_TARGET_FRAMES = 7


@dataclass(frozen=True)
class Clip:
    """A clip and its faults.

    audio : (CLIP_SAMPLES,) float32. spans : (label, start second, end second) of each fault. overloads : (OVERLOADED,
    start second, end second) of each stretch of clipping whose samples really are overloaded.
    """

    audio: np.ndarray
    spans: list[tuple[str, float, float]]
    overloads: list[tuple[str, float, float]]


def _short_faults(
    rng: np.random.Generator,
    x: np.ndarray,
    rate_hz: int,
    spans: streams.Spans,
    most: int = 4,
    shares: tuple[float, ...] = (0.2, 0.15, 0.43, 0.22),
) -> np.ndarray:
    """Place one to ``most`` short faults from left to right: a fault that moves what follows then moves no other.

    shares : how many of them are of each of SHORT_LABELS.
    """
    margin = int(0.35 * rate_hz)
    starts = np.sort(rng.uniform(0.3, CLIP_SECONDS - 0.7, int(rng.integers(1, most + 1))) * rate_hz).astype(int)
    last = -margin
    for at in starts:
        if at < last + margin:
            continue
        label = str(rng.choice(SHORT_LABELS, p=shares))
        placed = faults.SHORT_FAULTS[label](rng, x, rate_hz, int(at))
        if placed is not None:
            x, start, end = placed
            spans.append((label, start, end))
            last = end
    return x


def _long_fault(rng: np.random.Generator, x: np.ndarray, rate_hz: int, label: str, spans: streams.Spans) -> np.ndarray:
    at = int(rng.uniform(0.0, CLIP_SECONDS - 1.2) * rate_hz)
    if label == "hum":
        humming = long_faults.hum(rng, x, rate_hz, at)
        if humming is None:
            return x
        x, start, end = humming
        spans.append((label, start, end))
        return x
    clipped = long_faults.clipping(rng, x, rate_hz, at)
    if clipped is None:
        return x
    x, over = clipped
    spans.append((label, int(over[0]), int(over[-1]) + 1))
    for stretch in np.split(over, np.flatnonzero(np.diff(over) > rate_hz // 100) + 1):
        spans.append((OVERLOADED, int(stretch[0]), int(stretch[-1]) + 1))
    return x


def make_clip(rng: np.random.Generator, pool: Pool, always_clean: bool = False, dense: bool = False) -> Clip:
    """Make one clip. A third of the clips have no fault, or all of them if ``always_clean``.

    A ``dense`` clip has many faults, most of them clicks, and none of a damaged stream: it takes a fifth of the time.
    """
    source, entry = varied(rng, pool, CLIP_SAMPLES)
    rate_hz = int(rng.choice([8000, 16000, 22050, 32000, 44100, 48000], p=[0.14, 0.14, 0.06, 0.1, 0.4, 0.16]))
    if entry["rate_hz"] == 8000 and rng.random() < 0.6:
        rate_hz = 8000
    x = codecs.resampled(source, SAMPLE_RATE_HZ, rate_hz)
    if rng.random() < 0.03:
        x = np.zeros_like(x)
    if rng.random() < 0.25:
        x = x * gain(-rng.uniform(3, 30))
    clean = (rng.random() < 0.36 and not dense) or always_clean
    if rng.random() < (0.55 if clean else 0.25):
        x = lookalike(rng, x, rate_hz)
        if clean and rng.random() < 0.3:
            x = lookalike(rng, x, rate_hz)
    if rng.random() < 0.3:
        x = codecs.coded(rng, x, rate_hz)
    spans: streams.Spans = []
    if not clean:
        x = (_dense if dense else _faulty)(rng, x, rate_hz, spans)
    if rng.random() < 0.35:
        x = codecs.coded(rng, x, rate_hz)
    if rng.random() < 0.3:
        x = x * gain(-rng.uniform(0, 20))
    if rng.random() < 0.15:
        x = x * min(1.0, 0.999 / max(float(np.abs(x).max()), 1e-4)) if rng.random() < 0.5 else x
    x = np.round(np.clip(x, -1, 1) * 32767) / 32767
    audio = codecs.fitted(codecs.resampled(x.astype(np.float32), rate_hz, SAMPLE_RATE_HZ), CLIP_SAMPLES)
    seconds = [(label, a / rate_hz, b / rate_hz) for label, a, b in spans]
    if rng.random() < 0.12:
        audio, seconds = _ended(rng, audio, seconds)
    overloads = [span for span in seconds if span[0] == OVERLOADED]
    return Clip(audio, [span for span in seconds if span[0] != OVERLOADED], overloads)


def _faulty(rng: np.random.Generator, x: np.ndarray, rate_hz: int, spans: streams.Spans) -> np.ndarray:
    """Add the faults of one kind of mishap to x (samples,), and their positions to ``spans``."""
    mishap = rng.choice(["short", "long", "both", "stream", "call"], p=[0.36, 0.26, 0.08, 0.25, 0.05])
    if mishap == "stream":
        x, damage = streams.damaged_stream(rng, x, rate_hz)
        spans.extend(damage)
    elif mishap == "call":
        x, damage = streams.lost_g711(rng, x, rate_hz)
        spans.extend(damage)
    if mishap in {"short", "both"}:
        x = _short_faults(rng, x, rate_hz, spans)
    if mishap in {"long", "both"}:
        labels = ["clipping", "hum"] if rng.random() < 0.1 else [str(rng.choice(["clipping", "hum"], p=[0.55, 0.45]))]
        for label in labels:
            x = _long_fault(rng, x, rate_hz, label, spans)
    return x


def _dense(rng: np.random.Generator, x: np.ndarray, rate_hz: int, spans: streams.Spans) -> np.ndarray:
    """Add one to nine short faults, half of them clicks, and to half of the clips clipping or hum."""
    x = _short_faults(rng, x, rate_hz, spans, 9, (0.5, 0.08, 0.27, 0.15))
    if rng.random() < 0.5:
        x = _long_fault(rng, x, rate_hz, str(rng.choice(LONG_LABELS)), spans)
    return x


def _ended(rng: np.random.Generator, audio: np.ndarray, spans: list) -> tuple[np.ndarray, list]:
    """Let the recording end inside the window: the zeros that follow are not a dropout."""
    end_second = float(rng.uniform(1.0, CLIP_SECONDS))
    audio = audio.copy()
    audio[int(end_second * SAMPLE_RATE_HZ) :] = 0
    kept = [(label, a, min(b, end_second)) for label, a, b in spans if a < end_second - 0.02]
    whole = [s for s in kept if s[0] in {"clipping", "hum", OVERLOADED} or s[2] < end_second - 0.03]
    return audio, whole


def targets(clip: Clip) -> np.ndarray:
    """Return the frames that each fault covers: (CLIP_FRAMES, len(TARGETS)) uint8. Short faults are widened."""
    out = np.zeros((CLIP_FRAMES, len(TARGETS)), np.uint8)
    frames_per_second = SAMPLE_RATE_HZ / FRAME_HOP_SAMPLES
    for label, start, end in clip.spans + clip.overloads:
        first = int(np.floor(start * frames_per_second))
        last = int(np.ceil(end * frames_per_second))
        if label == "click":
            first, last = first - 1, last + 1
        elif label not in {"clipping", "hum", OVERLOADED}:
            last = max(last, first + SHORTEST_TARGET_FRAMES)
        out[max(0, first) : max(0, last), TARGETS.index(label)] = 1
    return out
