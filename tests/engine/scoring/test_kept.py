"""Kept scores give exactly the detections that were found while the scores came."""

from __future__ import annotations

import io
import itertools
import tempfile
import tracemalloc
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.models.manifest import Manifest
from appliance.engine.scoring import kept
from appliance.engine.scoring.events import DetectionConfig, DetectionFinder, rules_of
from appliance.engine.scoring.kept import KeptScores, ScoreKeeper
from appliance.engine.scoring.levels import TOP, Levels, to_level, to_levels
from appliance.errors import ScoresNotKept
from tests.engine.models.manifests import make_manifest

MANIFEST = make_manifest(
    [
        {"name": "click", "point": True},
        {"name": "hum", "threshold": 0.6, "hysteresis_ratio": 0.7},
        {"name": "background", "reported": False},
        {"name": "noise", "merge_window_ms": 30, "min_duration_ms": 20},
    ]
)
HOPS_MS = [10.0, 1000 * 256 / 22_050, 100 / 3, 0.5]


def pieces(seed: int, hop_ms: float = 10.0, num_segments: int = 3000) -> list[Levels]:
    """Scores with runs and gaps of many lengths, cut into blocks of many lengths."""
    rng = np.random.default_rng(seed)
    noise = rng.random((num_segments, len(MANIFEST.labels)))
    scores = np.stack([np.convolve(column, np.ones(7) / 7, "same") for column in noise.T], 1).astype(np.float32)
    scores = np.clip(2 * scores - 0.5, 0, 1)
    edges_ms = hop_ms * np.arange(num_segments + 1)
    borders = [0, *sorted(rng.integers(0, num_segments, 12).tolist()), num_segments]
    return [
        Levels.of(edges_ms[a : b + 1], scores[a:b, MANIFEST.reported_columns]) for a, b in itertools.pairwise(borders)
    ]


def archive_of(blocks: list[Levels], manifest: Manifest = MANIFEST) -> bytes:
    keeper, archive = ScoreKeeper(rules_of(manifest), io.BytesIO()), io.BytesIO()
    for block in blocks:
        keeper.add(block)
    keeper.write(archive)
    return archive.getvalue()


def read(archive: bytes) -> KeptScores:
    with tempfile.TemporaryFile() as file:
        file.write(archive)
        file.seek(0)
        return KeptScores.read(file)


@pytest.mark.parametrize("hop_ms", HOPS_MS)
def test_fifty_random_settings_give_what_a_new_analysis_finds(hop_ms: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "CHUNK_BYTES", 4000)  # several chunks, the last one not full
    blocks = pieces(7, hop_ms)
    scores = read(archive_of(blocks))
    rng = np.random.default_rng(3)
    counts = set()
    for _ in range(50):
        config = DetectionConfig(
            float(rng.uniform(0, 1)) if rng.random() < 0.9 else None,
            int(rng.integers(0, 200)) if rng.random() < 0.9 else None,
            int(rng.integers(0, 120)) if rng.random() < 0.9 else None,
        )
        finder = DetectionFinder(rules_of(MANIFEST), config)
        for block in blocks:
            finder.add(block)
        detections, truncated = scores.detections(config)
        assert detections == finder.finish()
        assert not truncated
        counts.add(len(detections))
    assert len(counts) > 5


def test_the_archive_is_one_that_numpy_reads_and_always_the_same_bytes() -> None:
    blocks = pieces(1)
    content = archive_of(blocks)
    assert content == archive_of(blocks)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        assert sorted(archive) == ["levels", "rules", "steps_us"]
        np.testing.assert_array_equal(archive["levels"], np.concatenate([block.levels for block in blocks], 1))
        assert set(archive["steps_us"].tolist()) == {10_000}
    scores = read(content)
    assert list(scores.rules) == rules_of(MANIFEST)
    assert [rule.name for rule in scores.rules] == ["click", "hum", "noise"]


@pytest.mark.parametrize(("start_ms", "end_ms"), [(0, 30_000), (29_000, 31_500), (5003, 5004), (12_345, 23_457)])
@pytest.mark.parametrize("points", [1, 7, 1000, 4000])
def test_pooled_scores_are_the_greatest_of_each_part(start_ms: int, end_ms: int, points: int) -> None:
    scores = read(archive_of(pieces(5)))
    edges_us = np.linspace(1000 * start_ms, 1000 * end_ms, points + 1)
    for row, pooled in zip(scores.track.levels, scores.pooled(start_ms, end_ms, points), strict=True):
        for value, begin, end in zip(pooled, edges_us, edges_us[1:], strict=False):
            touched = (scores.track.edges_us[1:] > begin) & (scores.track.edges_us[:-1] < end)
            assert round(float(value) * TOP) == max(row[touched], default=0)


def test_scores_of_nothing_are_kept_too() -> None:
    scores = read(archive_of([]))
    assert scores.detections(DetectionConfig(0.0)) == ([], False)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * len(b)])
def test_an_archive_that_cannot_be_read_counts_as_not_kept(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ScoresNotKept, match="cannot be read"):
        read(damage(archive_of(pieces(1))))


def test_only_the_strongest_are_returned_and_the_rest_is_mentioned() -> None:
    scores = read(archive_of(pieces(5)))
    everything, _ = scores.detections(DetectionConfig(0.3, 0, 0))
    strongest, truncated = scores.detections(DetectionConfig(0.3, 0, 0), most=10)
    assert truncated
    assert len(everything) > 50
    assert strongest == [d for d in everything if d in strongest]
    assert sorted(d.confidence for d in strongest) == sorted(d.confidence for d in everything)[-10:]


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_a_score_at_the_threshold_stays_at_the_threshold(score: float, threshold: float) -> None:
    assert not (score >= threshold and to_level(score) < to_level(threshold))
    assert abs(float(to_level(score)) / TOP - score) <= 0.5 / TOP + 1e-6


def test_levels_are_inside_the_range() -> None:
    assert to_levels(np.array([-0.1, 0.0, 0.5, 1.0, 1.1], np.float32)).tolist() == [0, 0, 32768, TOP, TOP]


def test_the_keepers_memory_does_not_grow_with_the_recording() -> None:
    class Nowhere:
        size = 0

        def write(self, data: bytes) -> None:
            self.size += len(data)

    spool = Nowhere()
    keeper = ScoreKeeper(rules_of(MANIFEST), cast(io.BytesIO, spool))
    block = Levels(10_000 * np.arange(701, dtype=np.int64), np.ones((3, 700), np.uint16))
    tracemalloc.start()
    try:
        for _ in range(5000):
            keeper.add(block)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert spool.size > 30e6
    assert peak_bytes < 4e6
