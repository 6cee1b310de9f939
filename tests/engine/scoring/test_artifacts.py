"""The bundled detector on the committed clips, which it was not trained on. Each clip has faults of one label."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from appliance import ROOT
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models.session import Session
from appliance.engine.models.store import ModelStore
from appliance.engine.scoring.detector import analyse
from appliance.engine.scoring.events import Detection, DetectionConfig
from appliance.engine.scoring.scorer import Scorer

pytestmark = pytest.mark.slow  # analyzes every clip several times
CLIPS = ROOT / "tests" / "clips"
SAMPLE = ROOT / "appliance" / "samples" / "demo.flac"
TRUTH = json.loads((CLIPS / "truth.json").read_text())
DEMO = json.loads(SAMPLE.with_suffix(".json").read_text())["detections"]
COLLAR_MS = 100
DEFAULTS = DetectionConfig(threshold=0.5, merge_window_ms=200, min_duration_ms=50)  # as in the contract's first example

Detect = Callable[..., list[Detection]]


@pytest.fixture(scope="module")
def detections_of() -> Iterator[Detect]:
    """A function that analyses a file with the bundled model."""
    model = ModelStore(ROOT / "model_store").resolve("artifacts")
    with Scorer(Session(model, "cpu")) as scorer, Decoder(DecodeLimits()) as decoder:

        def run(path: Path, config: DetectionConfig = DEFAULTS) -> list[Detection]:
            with path.open("rb") as file:
                return analyse(file, decoder, scorer, config).detections

        yield run


def matched(truth: list[dict], detections: list[Detection]) -> list[dict]:
    """Return the faults at whose start, within the collar, a detection of their type begins. Detections count once."""
    unmatched = list(detections)
    faults = []
    for fault in truth:
        for detection in unmatched:
            near = abs(detection.start_ms - fault["start_ms"]) <= COLLAR_MS
            if near and detection.artifact_type == fault["artifact_type"]:
                faults.append(fault)
                unmatched.remove(detection)
                break
    return faults


@pytest.mark.parametrize("name", [name for name, truth in TRUTH.items() if not truth])
def test_a_clean_recording_has_no_detections(detections_of: Detect, name: str) -> None:
    assert detections_of(CLIPS / name) == []


def test_every_label_is_detected_in_the_demonstration(detections_of: Detect) -> None:
    detections = detections_of(SAMPLE)
    labels = {fault["artifact_type"] for fault in DEMO}
    assert len(labels) == 6
    assert {fault["artifact_type"] for fault in matched(DEMO, detections)} == labels
    assert len(detections) <= len(DEMO)


def test_most_faults_are_detected_with_few_false_alarms(detections_of: Detect) -> None:
    detections = {name: detections_of(CLIPS / name) for name in TRUTH}
    num_faults = sum(map(len, TRUTH.values()))
    num_right = sum(len(matched(TRUTH[name], detections[name])) for name in TRUTH)
    num_false = sum(map(len, detections.values())) - num_right
    assert num_right >= 0.7 * num_faults, detections
    assert num_false <= 0.2 * num_faults, detections


def test_a_lower_threshold_gives_more_detections_as_the_contract_says(detections_of: Detect) -> None:
    """In each recording a threshold of 0.3 covers every detection of 0.8, and gives more in total."""
    num_many = num_few = 0
    for path in (SAMPLE, *(CLIPS / name for name in TRUTH)):
        many, few = (detections_of(path, DetectionConfig(threshold=threshold)) for threshold in (0.3, 0.8))
        assert all(detection.confidence >= 0.8 for detection in few)
        for detection in few:
            assert any(
                other.artifact_type == detection.artifact_type
                and other.start_ms <= detection.start_ms
                and other.end_ms >= detection.end_ms
                for other in many
            )
        num_many += len(many)
        num_few += len(few)
    assert num_few < num_many


def test_a_version_with_the_same_networks_detects_the_same() -> None:
    """0.1.1 computes the features of 0.1.0 for less."""
    store = ModelStore(ROOT / "model_store")
    answers = []
    for version in ("0.1.0", "0.1.1"):
        model = store.resolve(f"artifacts@{version}")
        with Scorer(Session(model, "cpu")) as scorer, Decoder(DecodeLimits()) as decoder:
            for path in (*(CLIPS / name for name in TRUTH), SAMPLE):
                with path.open("rb") as file:
                    answers.append(analyse(file, decoder, scorer, DetectionConfig(threshold=0.1)).detections)
    old, new = (list(chain(*part)) for part in (answers[: len(TRUTH) + 1], answers[len(TRUTH) + 1 :]))
    assert len(old) >= 20
    assert [replace(detection, confidence=0.0) for detection in new] == [replace(d, confidence=0.0) for d in old]
    assert [d.confidence for d in new] == pytest.approx([d.confidence for d in old], abs=0.001)


def test_the_detector_gives_features_for_other_detectors_in_the_frames_of_its_scores() -> None:
    model = ModelStore(ROOT / "model_store").resolve("artifacts")
    output = model.scoring.output
    slot = Session(model, "cpu").slots[0]
    slot.windows[0] = 0.1 * np.random.default_rng(0).standard_normal(slot.windows.shape[1])
    assert output.features == "head_features"
    features = slot.run(1, output.features)
    assert features.shape[:2] == slot.run(1, output.name).shape[:2]
    hidden = slot.run(1, "embedding")  # the mean of the networks' hidden channels, which come first
    np.testing.assert_allclose(
        features[0, :, :256].mean(axis=0).reshape(2, 128).mean(axis=0), hidden[0], rtol=1e-3, atol=1e-5
    )
