"""The last window of a recording may be shorter than the others: it costs less and finds the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from appliance.engine.models.session import Session
from appliance.engine.models.store import ModelStore, StoredModel
from appliance.engine.scoring.events import Detection, DetectionConfig, DetectionFinder, rules_of
from appliance.engine.scoring.levels import Levels
from appliance.engine.scoring.scorer import Scorer
from appliance.engine.scoring.track import ScoreAverager
from tests.support.appliances import ROOT

RATE_HZ = 32_000


def clips() -> Iterator[np.ndarray]:
    """Yield clips of one to six seconds: pieces of the recordings with faults, and hum and noise."""
    generator = np.random.default_rng(12)
    for path in sorted((ROOT / "tests/clips").glob("*.flac")):
        audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        mono = soxr.resample(audio.mean(axis=1), rate_hz, RATE_HZ).astype(np.float32)
        for seconds in (1.0, 2.0, 2.0, 3.3):
            start = generator.integers(0, len(mono) - int(seconds * RATE_HZ))
            yield mono[start : start + int(seconds * RATE_HZ)]
    for seconds in (1.0, 2.0, 6.0):
        t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
        noise = 0.02 * generator.standard_normal(len(t))
        yield noise.astype(np.float32)
        yield (noise + 0.1 * np.sin(2 * np.pi * 50 * t) + 0.05 * np.sin(2 * np.pi * 150 * t)).astype(np.float32)


def detections_of(scorer: Scorer, audio: np.ndarray) -> list[Detection]:
    manifest = scorer.session.manifest
    finder = DetectionFinder(rules_of(manifest), DetectionConfig())
    averager = ScoreAverager.of(manifest, lambda edges_ms, scores: finder.add(Levels.of(edges_ms, scores)))
    scorer.score([audio], averager)
    averager.finish(1000 * len(audio) / RATE_HZ)
    return finder.finish()


def with_whole_windows(model: StoredModel) -> StoredModel:
    source = model.scoring.input.model_copy(update={"window_step_seconds": None})
    return replace(model, manifest=model.scoring.model_copy(update={"input": source}))


@pytest.mark.slow
def test_shorter_windows_give_the_same_detections() -> None:
    """Times within 1 ms and confidences within 0.01 of those of windows that are filled with silence."""
    model = ModelStore(ROOT / "model_store").resolve("artifacts")
    num_detections = 0
    with Scorer(Session(model, "cpu")) as short, Scorer(Session(with_whole_windows(model), "cpu")) as whole:
        for audio in clips():
            some, others = detections_of(short, audio), detections_of(whole, audio)
            assert [d.artifact_type for d in some] == [d.artifact_type for d in others]
            for one, other in zip(some, others, strict=True):
                assert abs(one.start_ms - other.start_ms) <= 1
                assert abs(one.end_ms - other.end_ms) <= 1
                assert one.confidence == pytest.approx(other.confidence, abs=0.01)
            num_detections += len(some)
    assert num_detections >= 20


def test_the_last_window_is_as_short_as_the_manifest_allows(tmp_path: Path) -> None:
    source = ModelStore(ROOT / "model_store").resolve("artifacts").scoring.input
    seconds = [source.last_window_samples(int(s * RATE_HZ)) / RATE_HZ for s in (0.1, 2.0, 2.01, 7.1, 7.3, 8.0)]
    assert seconds == [1.0, 2.8, 3.0, 8.0, 8.0, 8.0]
    free = source.model_copy(update={"window_step_seconds": None})
    assert free.last_window_samples(100) == source.window_samples
