"""The search for similar recordings, over vectors whose cosines can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from appliance.errors import NotFound, NotReady
from appliance.services.box import Box
from appliance.services.datasets import audio
from appliance.services.datasets.datasets import create_dataset, delete_dataset
from appliance.services.datasets.similarity import Similarity
from tests.services.datasets.recordings import embedding_audio, ready_audio


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
