"""The bundled detector on the committed clips: recordings that it was not trained on, each with faults of one label."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import ROOT
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models.session import Session
from appliance.engine.models.store import ModelStore
from appliance.engine.scoring.detector import analyse
from appliance.engine.scoring.events import Detection, DetectionConfig
from appliance.engine.scoring.scorer import Scorer

CLIPS = ROOT / "tests" / "clips"
SAMPLE = ROOT / "appliance" / "samples" / "demo.flac"
TRUTH = json.loads((CLIPS / "truth.json").read_text())
DEMO = json.loads(SAMPLE.with_suffix(".json").read_text())["detections"]
COLLAR_MS = 100
DEFAULTS = DetectionConfig(threshold=0.5, merge_window_ms=200, min_duration_ms=50)  # as the contract's first example


@pytest.fixture(scope="module")
def hear() -> Iterator:
    """Analyses a file with the bundled model."""
    model = ModelStore(ROOT / "model_store").resolve("artifacts")
    with Scorer(Session(model, "cpu")) as scorer, Decoder(DecodeLimits()) as decoder:

        def heard(path: Path, config: DetectionConfig = DEFAULTS) -> list[Detection]:
            with path.open("rb") as file:
                return analyse(file, decoder, scorer, config).detections

        yield heard


def found(truth: list[dict], detections: list[Detection]) -> list[dict]:
    """The faults that a detection of their type begins at, within the collar, each detection taken once."""
    left = list(detections)
    matched = []
    for fault in truth:
        for detection in left:
            near = abs(detection.start_ms - fault["start_ms"]) <= COLLAR_MS
            if near and detection.artifact_type == fault["artifact_type"]:
                matched.append(fault)
                left.remove(detection)
                break
    return matched


@pytest.mark.parametrize("name", [name for name, truth in TRUTH.items() if not truth])
def test_nothing_is_heard_in_a_clean_recording(hear, name: str) -> None:
    assert hear(CLIPS / name) == []


def test_every_label_is_heard_in_the_demonstration(hear) -> None:
    detections = hear(SAMPLE)
    labels = {fault["artifact_type"] for fault in DEMO}
    assert len(labels) == 6
    assert {fault["artifact_type"] for fault in found(DEMO, detections)} == labels
    assert len(detections) <= len(DEMO)


def test_most_faults_are_heard_and_little_else(hear) -> None:
    heard = {name: hear(CLIPS / name) for name in TRUTH}
    num_faults = sum(map(len, TRUTH.values()))
    num_found = sum(len(found(TRUTH[name], heard[name])) for name in TRUTH)
    num_false = sum(map(len, heard.values())) - num_found
    assert num_found >= 0.7 * num_faults, heard
    assert num_false <= 0.2 * num_faults, heard


def test_the_threshold_does_what_the_contract_says(hear) -> None:
    """0.3 hears all that 0.8 hears in each recording, and more in all."""
    num_many = num_few = 0
    for path in (SAMPLE, *(CLIPS / name for name in TRUTH)):
        many, few = (hear(path, DetectionConfig(threshold=threshold)) for threshold in (0.3, 0.8))
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
