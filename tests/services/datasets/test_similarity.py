"""The search for similar recordings, over vectors whose cosines can be worked out by hand."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.models.store import ModelStore
from appliance.errors import NotFound, NotReady
from appliance.services.box import Box
from appliance.services.datasets import audio, work
from appliance.services.datasets.datasets import create_dataset, delete_dataset
from appliance.services.datasets.similarity import By, Similarity
from tests.services.datasets.recordings import embedding_audio, ready_audio
from tests.support.boxes import claim


def ranking_of(
    search: Similarity, dataset_id: str, audio_id: str, k: int = 10, within: str | None = None
) -> list[tuple[str, float]]:
    """The ids and the similarities of the neighbors, the nearest first."""
    neighbors = search.similar(1, dataset_id, audio_id, k=k, within=within)
    return [(neighbor.recording.id, neighbor.similarity) for neighbor in neighbors]


def test_neighbors_are_ranked_by_cosine_without_the_recording_itself(box: Box, dataset_id: str) -> None:
    vectors = [(1, 0), (-1, 0), (0.6, 0.8), (0, -1), (0.8, -0.6)]
    query, opposite, near, right_angle, nearest = (ready_audio(box, dataset_id, vector) for vector in vectors)
    ranking = [(nearest, 0.8), (near, 0.6), (right_angle, 0.0), (opposite, -1.0)]
    search = Similarity(box)
    assert ranking_of(search, dataset_id, query) == ranking
    assert ranking_of(search, dataset_id, query, k=2) == ranking[:2]
    assert ranking_of(search, dataset_id, query, k=4) == ranking


def test_the_same_vector_twice_has_a_similarity_of_exactly_one(box: Box, dataset_id: str) -> None:
    vector = np.full(3, 1 / math.sqrt(3), np.float32) * np.float32(1.0000002)
    one, same = (ready_audio(box, dataset_id, vector.tolist()) for _ in range(2))
    assert ranking_of(Similarity(box), dataset_id, one) == [(same, 1.0)]


def test_a_recording_alone_has_no_neighbors(box: Box, dataset_id: str) -> None:
    assert ranking_of(Similarity(box), dataset_id, ready_audio(box, dataset_id)) == []


def test_a_search_within_a_dataset_returns_only_its_recordings(box: Box, dataset_id: str) -> None:
    other, empty = (create_dataset(box, 1, name, "").id for name in ("other", "empty"))
    query, here, there = (ready_audio(box, place, (1, 0)) for place in (dataset_id, dataset_id, other))
    search = Similarity(box)
    assert {audio_id for audio_id, _ in ranking_of(search, dataset_id, query)} == {here, there}
    assert ranking_of(search, dataset_id, query, within=dataset_id) == [(here, 1.0)]
    assert ranking_of(search, dataset_id, query, within=other) == [(there, 1.0)]
    assert ranking_of(search, dataset_id, query, within=empty) == []


def test_recordings_that_come_and_go_are_seen_by_the_next_search(box: Box, dataset_id: str) -> None:
    search = Similarity(box)
    query, first = ready_audio(box, dataset_id), ready_audio(box, dataset_id, (0.6, 0.8))
    assert ranking_of(search, dataset_id, query) == [(first, 0.6)]
    second = ready_audio(box, dataset_id, (0.8, 0.6))
    assert ranking_of(search, dataset_id, query) == [(second, 0.8), (first, 0.6)]
    audio.delete_audio(box, 1, dataset_id, second)  # the newest: the last sequence falls
    assert ranking_of(search, dataset_id, query) == [(first, 0.6)]
    audio.delete_audio(box, 1, dataset_id, first)  # the count stays: one goes, one comes
    third = ready_audio(box, dataset_id, (0, 1))
    assert ranking_of(search, dataset_id, query) == [(third, 0.0)]


def test_the_recordings_of_a_deleted_dataset_are_not_returned(box: Box, dataset_id: str) -> None:
    other = create_dataset(box, 1, "other", "").id
    query, _ = ready_audio(box, dataset_id), ready_audio(box, other)
    search = Similarity(box)
    assert len(ranking_of(search, dataset_id, query)) == 1
    delete_dataset(box, 1, other)
    assert ranking_of(search, dataset_id, query) == []


def test_vectors_of_different_models_are_not_compared(box: Box, dataset_id: str) -> None:
    old, query = ready_audio(box, dataset_id, (1, 0, 0), model="toy@0"), ready_audio(box, dataset_id)
    assert ranking_of(Similarity(box), dataset_id, query) == []
    assert ranking_of(Similarity(box), dataset_id, old) == []


def test_another_tenant_finds_nothing_and_is_never_found(box: Box, dataset_id: str) -> None:
    their_dataset = create_dataset(box, 2, "theirs", "").id
    query, theirs = ready_audio(box, dataset_id), ready_audio(box, their_dataset)
    search = Similarity(box)
    assert ranking_of(search, dataset_id, query) == []
    assert search.similar(2, their_dataset, theirs, k=9) == []
    with pytest.raises(NotFound):
        search.similar(2, dataset_id, query, k=9)
    with pytest.raises(NotFound):
        search.similar(1, dataset_id, query, k=9, within=their_dataset)


def test_audio_without_a_vector_is_not_ready(box: Box, dataset_id: str) -> None:
    recording, _ = embedding_audio(box, dataset_id)
    with pytest.raises(NotReady):
        ranking_of(Similarity(box), dataset_id, recording.id)


@pytest.fixture
def sounding(box: Box, tmp_path: Path) -> Box:
    """A box with a model of the learned search: vectors of two parts, each of two dimensions."""
    folder = tmp_path / "sounding" / "sounds" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "model.onnx").touch()
    (folder / "manifest.toml").write_text(
        f"""
        name = "sounds"
        version = "1.0.0"
        task = "embedding"
        licence = "CC0-1.0"
        sha256 = "{"0" * 64}"
        [input]
        name = "audio"
        sample_rate_hz = 8000
        window_seconds = 1.0
        hop_seconds = 1.0
        [output]
        name = "vectors"
        kind = "window"
        parts = {{fault = 2, sound = 2}}
        """
    )
    settings = box.settings.model_copy(update={"sound_model": "sounds"})
    return replace(box, settings=settings, models=ModelStore(tmp_path / "sounding"))


def heard_audio(box: Box, dataset_id: str, fault: tuple[float, float], sound: tuple[float, float]) -> str:
    audio_id = ready_audio(box, dataset_id)
    hear = claim(box, "hear")
    assert hear.subject_id == audio_id
    vector = np.array([*fault, *sound], np.float32)
    work.complete_hearing(box, hear, work.load_audio(box, hear), "sounds@1.0.0", vector)
    return audio_id


def test_the_learned_search_ranks_by_the_sound_by_the_fault_or_by_both(sounding: Box, dataset_id: str) -> None:
    query = heard_audio(sounding, dataset_id, (1, 0), (1, 0))
    same_fault = heard_audio(sounding, dataset_id, (1, 0), (0, 1))
    same_sound = heard_audio(sounding, dataset_id, (0.6, 0.8), (1, 0))
    search = Similarity(sounding)

    def by(what: By) -> list[tuple[str, float]]:
        return [(n.recording.id, n.similarity) for n in search.similar(1, dataset_id, query, k=9, by=what)]

    assert by("fault") == [(same_fault, 1.0), (same_sound, 0.6)]
    assert by("sound") == [(same_sound, 1.0), (same_fault, 0.0)]
    assert by("both") == [(same_sound, 0.8), (same_fault, 0.5)]


def test_audio_that_was_ready_before_there_was_a_learned_search_is_heard_later(
    sounding: Box, box: Box, dataset_id: str
) -> None:
    old = ready_audio(box, dataset_id)  # of an appliance without the model
    with pytest.raises(NotReady, match="sound_model"):
        Similarity(box).similar(1, dataset_id, old, k=9, by="sound")
    with pytest.raises(NotReady, match="in the background"):
        Similarity(sounding).similar(1, dataset_id, old, k=9, by="sound")
    for _ in range(2):
        work.enqueue_unheard(sounding, threading.Event())
    hear = claim(sounding, "hear")
    assert hear.subject_id == old
    work.complete_hearing(sounding, hear, work.load_audio(sounding, hear), "sounds@1.0.0", np.ones(4, np.float32))
    work.enqueue_unheard(sounding, threading.Event())
    assert sounding.db.all("SELECT 1 FROM work WHERE kind = 'hear'") == []
    assert Similarity(sounding).similar(1, dataset_id, old, k=9, by="sound") == []
