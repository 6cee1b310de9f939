"""Training's events are the appliance's: what is calibrated is what is reported."""

from __future__ import annotations

import numpy as np
import pytest
from training import events
from training.events import Event, Rule, Tally, detect, matched
from training.labels import LABELS

from appliance.engine.models.manifest import Manifest
from appliance.engine.scoring.events import DetectionConfig, find_detections
from appliance.engine.scoring.track import ScoreTrack

HOP_MS = 10.0


def appliance_events(scores: np.ndarray, rule: Rule) -> list[tuple[str, int, int, float]]:
    manifest = Manifest.model_validate(
        {
            "name": "toy",
            "version": "1.0.0",
            "task": "detection",
            "description": "Six labels.",
            "licence": "CC0-1.0",
            "sha256": "0" * 64,
            "input": {
                "name": "waveform",
                "layout": "batch,samples",
                "sample_rate_hz": 32_000,
                "window_seconds": 8.0,
                "hop_seconds": 7.0,
            },
            "output": {"name": "scores", "kind": "frame", "frame_hop_seconds": HOP_MS / 1000, "activation": "none"},
            "defaults": {
                "threshold": rule.threshold,
                "merge_window_ms": round(1000 * rule.merge_seconds),
                "min_duration_ms": round(1000 * rule.min_seconds),
            },
            "labels": [
                {"name": name, "point": name in events.POINTS, "hysteresis_ratio": rule.hysteresis_ratio}
                for name in LABELS
            ],
        }
    )
    track = ScoreTrack(scores=scores, edges_ms=HOP_MS * np.arange(len(scores) + 1))
    detections = find_detections(track, manifest, DetectionConfig())
    return [(d.artifact_type, d.start_ms, d.end_ms, d.confidence) for d in detections]


@pytest.mark.parametrize("seed", range(20))
def test_training_detects_what_the_appliance_reports(seed):
    rng = np.random.default_rng(seed)
    # Smoothed noise has runs and gaps of all the lengths that the rules tell apart.
    noise = rng.random((800, len(LABELS)))
    scores = np.stack([np.convolve(noise[:, k], np.ones(5) / 5, "same") for k in range(len(LABELS))], 1)
    scores = scores.astype(np.float32)
    rule = Rule(
        float(rng.uniform(0.55, 0.75)),
        int(rng.integers(0, 9)) / 100,
        int(rng.integers(0, 13)) / 100,
        float(rng.uniform(0.7, 1.0)),
    )
    detections = detect(scores, dict.fromkeys(LABELS, rule))
    assert len(detections) > 10
    trained = sorted((d.label, round(1000 * d.start), round(1000 * d.end), d.confidence) for d in detections)
    reported = sorted(appliance_events(scores, rule))
    assert [event[:3] for event in trained] == [event[:3] for event in reported]
    # What is reported is a level of 16 bits, and has 4 decimals.
    assert [event[3] for event in trained] == pytest.approx([event[3] for event in reported], abs=6e-5)


def test_a_fault_is_matched_once_by_the_most_confident_detection():
    detections = [Event("click", 1.0, 1.01, 0.6), Event("click", 1.05, 1.06, 0.9), Event("hum", 1.0, 3.0, 0.9)]
    assert matched(detections, [Event("click", 1.02, 1.03)]) == ([False, True, False], [True])


def test_the_tally_counts_false_alarms_in_clean_recordings_only():
    tally = Tally.empty()
    tally.add([Event("hum", 1.0, 3.0, 0.9)], [Event("hum", 1.05, 3.0)], 8.0)
    tally.add([Event("hum", 1.0, 3.0, 0.9)], [], 1800.0)
    assert tally.f1("hum") == pytest.approx(2 / 3)
    assert tally.false_per_hour == 2.0
    assert "| hum | 0.50 | 1.00 | 0.67 | 1 |" in tally.table()
