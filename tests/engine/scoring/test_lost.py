"""Losses of a stream become detections that no threshold hides, once each, and only in models that know dropouts."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models.session import Session
from appliance.engine.models.store import ModelStore
from appliance.engine.scoring.detector import analyse
from appliance.engine.scoring.events import Detection, DetectionConfig, rules_of
from appliance.engine.scoring.kept import KeptScores, ScoreKeeper
from appliance.engine.scoring.lost import with_losses
from appliance.engine.scoring.scorer import Scorer
from tests.engine.models.manifests import make_manifest
from tests.support import toy_models
from tests.support.encoded_files import encode, noise, without_ogg_page

RULES = rules_of(make_manifest([{"name": "click", "point": True}, {"name": "dropout", "merge_window_ms": 200}]))
CLICK = Detection("click", 500, 501, 0.9)


def times(detections: list[Detection]) -> list[tuple[int, int]]:
    return [(detection.start_ms, detection.end_ms) for detection in detections]


def test_a_loss_is_a_sure_dropout_at_whole_milliseconds() -> None:
    answer = with_losses([CLICK], [(100.4, 120.2)], RULES, DetectionConfig(threshold=1.0))
    assert answer == [Detection("dropout", 100, 121, 1.0, "stream"), CLICK]


def test_losses_a_merge_window_apart_are_one() -> None:
    losses = [(0.0, 20.0), (100.0, 120.0), (320.0, 340.0), (541.0, 561.0)]
    assert times(with_losses([], losses, RULES, DetectionConfig())) == [(0, 340), (541, 561)]
    assert len(with_losses([], losses, RULES, DetectionConfig(merge_window_ms=0))) == 4


def test_only_the_clients_own_minimum_hides_a_loss() -> None:
    losses = [(0.0, 20.0), (1000.0, 1120.0)]
    assert len(with_losses([], losses, RULES, DetectionConfig())) == 2
    assert times(with_losses([], losses, RULES, DetectionConfig(min_duration_ms=100))) == [(1000, 1120)]


def test_what_the_model_heard_there_is_not_reported_twice() -> None:
    heard = [Detection("dropout", 90, 130, 0.7), CLICK, Detection("dropout", 700, 800, 0.7)]
    answer = with_losses(heard, [(100.0, 120.0), (500.0, 520.0)], RULES, DetectionConfig())
    assert [(d.artifact_type, d.start_ms, d.source) for d in answer] == [
        ("dropout", 100, "stream"), ("click", 500, "model"), ("dropout", 500, "stream"), ("dropout", 700, "model"),
    ]  # fmt: skip


def test_a_model_without_dropouts_keeps_to_its_labels() -> None:
    rules = rules_of(make_manifest([{"name": "click"}, {"name": "dropout", "reported": False}]))
    assert with_losses([CLICK], [(100.0, 120.0)], rules, DetectionConfig()) == [CLICK]


@pytest.fixture(scope="module")
def scorers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scorer]]:
    store = tmp_path_factory.mktemp("store")
    toy_models.frame_model(store)
    toy_models.frame_model(store, name="loud-gaps", label="dropout")
    names = ("loud-frames", "loud-gaps")
    scorers = {name: Scorer(Session(ModelStore(store).resolve(name), "cpu")) for name in names}
    yield scorers
    for scorer in scorers.values():
        scorer.close()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "lost.ogg"
    path.write_bytes(without_ogg_page(encode("opus", noise(48_000, 5, level=0.01), 48_000), 3))
    return path


def test_kept_scores_give_what_the_analysis_gave(scorers: dict[str, Scorer], damaged: Path) -> None:
    scorer = scorers["loud-gaps"]
    keeper = ScoreKeeper(rules_of(scorer.session.manifest), io.BytesIO())
    with tempfile.TemporaryFile() as archive, Decoder(DecodeLimits()) as decoder, damaged.open("rb") as file:
        analysis = analyse(file, decoder, scorer, DetectionConfig(), keeper=keeper)
        [detection] = analysis.detections
        assert (detection.artifact_type, detection.confidence, detection.source) == ("dropout", 1.0, "stream")
        assert detection.end_ms - detection.start_ms == pytest.approx(1000, abs=2)  # a page has a second
        keeper.write(archive)
        archive.seek(0)
        kept = KeptScores.read(archive)
        assert kept.detections(DetectionConfig()) == (analysis.detections, False)
        sensitive = DetectionConfig(threshold=0.027, merge_window_ms=0, min_duration_ms=0)
        for config in (sensitive, DetectionConfig(min_duration_ms=2000)):
            assert kept.detections(config) == (analyse(file, decoder, scorer, config).detections, False)
        many, _ = kept.detections(sensitive)
        few, is_cut = kept.detections(sensitive, 3)
    assert is_cut
    assert len(many) > len(few) == 3
    assert sum(detection.source == "stream" for detection in few) == 1


def test_a_model_with_other_labels_reports_no_dropout(scorers: dict[str, Scorer], damaged: Path) -> None:
    with Decoder(DecodeLimits()) as decoder, damaged.open("rb") as file:
        assert analyse(file, decoder, scorers["loud-frames"], DetectionConfig()).detections == []


def test_the_scores_of_a_whole_recording_hold_no_losses(scorers: dict[str, Scorer], tmp_path: Path) -> None:
    path = tmp_path / "whole.ogg"
    path.write_bytes(encode("opus", noise(48_000, 3, level=0.01), 48_000))
    keeper, archive = ScoreKeeper(rules_of(scorers["loud-gaps"].session.manifest), io.BytesIO()), io.BytesIO()
    with Decoder(DecodeLimits()) as decoder, path.open("rb") as file:
        assert analyse(file, decoder, scorers["loud-gaps"], DetectionConfig(), keeper=keeper).detections == []
    keeper.write(archive)
    archive.seek(0)
    assert "losses_ms" not in np.load(archive)
