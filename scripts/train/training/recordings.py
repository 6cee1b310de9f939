"""Whole clean recordings of the development packages, some through a coder, scored as the appliance scores them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from training import codecs
from training.clips import CLIP_SAMPLES
from training.events import FRAME_SECONDS
from training.labels import FRAME_HOP_SAMPLES, SAMPLE_RATE_HZ
from training.sources import Pool

HOP_SECONDS = 7
HOP_SAMPLES = HOP_SECONDS * SAMPLE_RATE_HZ

Scorer = Callable[[np.ndarray], np.ndarray]  # (batch, CLIP_SAMPLES) float32 to (batch, T, labels)


def cut(audio: np.ndarray) -> np.ndarray:
    """Return a recording (samples,) as windows (count, CLIP_SAMPLES), one every 7 s, the last one padded."""
    count = max(1, -(-(len(audio) - CLIP_SAMPLES) // HOP_SAMPLES) + 1)
    padded = np.pad(audio, (0, (count - 1) * HOP_SAMPLES + CLIP_SAMPLES - len(audio)))
    return np.stack([padded[i * HOP_SAMPLES : i * HOP_SAMPLES + CLIP_SAMPLES] for i in range(count)])


def joined(windows: np.ndarray, seconds: float) -> np.ndarray:
    """Return the scores (frames, labels) of a recording from those of its windows (count, T, labels).

    Overlaps are averaged.
    """
    count, frames, labels = windows.shape
    hop = HOP_SAMPLES // FRAME_HOP_SAMPLES
    total = np.zeros(((count - 1) * hop + frames, labels))
    times = np.zeros((len(total), 1))
    for index, part in enumerate(windows):
        total[index * hop : index * hop + frames] += part
        times[index * hop : index * hop + frames] += 1
    return (total / times)[: int(np.ceil(seconds / FRAME_SECONDS))]


def score(audio: np.ndarray, scorer: Scorer, batch: int = 4) -> np.ndarray:
    """Return the scores (frames, labels) of a recording (samples,)."""
    windows = cut(audio).astype(np.float32)
    parts = [scorer(windows[start : start + batch]) for start in range(0, len(windows), batch)]
    return joined(np.concatenate(parts), len(audio) / SAMPLE_RATE_HZ)


def clean_recordings(split: str = "dev", minutes: float = 90.0, seed: int = 3) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, audio) of clean stretches of up to two minutes, every other one through a lossy coder."""
    pool = Pool(split)
    rng = np.random.default_rng(seed)
    done = 0.0
    while done < minutes * 60:
        audio, entry = pool.draw(rng, 120 * SAMPLE_RATE_HZ)
        audio = audio[: min(len(audio), entry["samples"])]
        if rng.random() < 0.5:
            rate_hz = 48_000 if entry["rate_hz"] > 16_000 else 16_000
            coded = codecs.coded(rng, codecs.resampled(audio, SAMPLE_RATE_HZ, rate_hz), rate_hz)
            audio = codecs.fitted(codecs.resampled(coded, rate_hz, SAMPLE_RATE_HZ), len(audio))
        done += len(audio) / SAMPLE_RATE_HZ
        yield f"{entry['package']}/{entry['name']}", audio
