"""Rendered clips: what is in a dense one, and that a clip is the same each time."""

from __future__ import annotations

from collections import Counter

import numpy as np
from training.clips import CLIP_SAMPLES, Clip, make_clip, targets
from training.labels import LABELS, SAMPLE_RATE_HZ, SHORT_LABELS
from training.sources import Pool

CLICK = LABELS.index("click")


class Tones(Pool):
    """Wandering tones in soft noise, without files."""

    def __init__(self) -> None:
        pass

    def draw(self, rng: np.random.Generator, num_samples: int) -> tuple[np.ndarray, dict]:
        pitch_hz = 300 + 100 * np.sin(2 * np.pi * np.arange(num_samples) / SAMPLE_RATE_HZ)
        tone = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ)
        return (tone + 0.01 * rng.standard_normal(num_samples)).astype(np.float32), {"rate_hz": SAMPLE_RATE_HZ}


def clip(index: int, **wanted: bool) -> Clip:
    return make_clip(np.random.default_rng((8, index)), Tones(), **wanted)


def test_a_dense_clip_has_several_faults_and_most_are_clicks() -> None:
    clips = [clip(index, dense=True) for index in range(4)]
    counts = Counter(label for one in clips for label, *_ in one.spans if label in SHORT_LABELS)
    assert counts["click"] > 0.3 * counts.total() > 3
    assert all(one.audio.shape == (CLIP_SAMPLES,) for one in clips)
    assert all(targets(one)[:, CLICK].any() == any(label == "click" for label, *_ in one.spans) for one in clips)


def test_a_clean_clip_has_no_fault() -> None:
    assert not any(targets(clip(index, always_clean=True)).any() for index in range(2))


def test_a_clip_is_the_same_each_time() -> None:
    one, again = clip(1, dense=True), clip(1, dense=True)
    np.testing.assert_array_equal(one.audio, again.audio)
    assert one.spans == again.spans
