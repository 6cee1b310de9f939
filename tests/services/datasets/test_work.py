"""The work on audio: from normalizing to embedding to ready, or nothing at all."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.errors import CorruptAudio, LeaseLost, SubjectGone, UnexpectedStatus
from appliance.services.box import Box
from appliance.services.datasets import audio, work
from appliance.services.work import leases
from appliance.state import audio as audio_rows
from appliance.state import embeddings
from tests.services.datasets.recordings import PROPERTIES, embedding_audio, normalizing_audio
from tests.support.boxes import lose_lease, queued_work, snapshot

DIRECTION = np.array([0.6, 0.8], np.float64)


def test_normalized_audio_has_its_properties_and_is_embedded_next(box: Box, dataset_id: str) -> None:
    recording, normalize = normalizing_audio(box, dataset_id)
    work.complete_normalizing(box, normalize, recording, PROPERTIES, 1000)
    moved = audio.find_audio(box, 1, dataset_id, recording.id)
    assert moved.status == "embedding"
    assert vars(PROPERTIES).items() <= vars(moved).items()
    assert queued_work(box) == [("embed", recording.id)]


def test_embedded_audio_is_ready_and_its_vector_is_stored(box: Box, dataset_id: str) -> None:
    recording, embed = embedding_audio(box, dataset_id)
    work.complete_embedding(box, embed, recording, "toy@1", DIRECTION, 1000)
    assert audio.find_audio(box, 1, dataset_id, recording.id).status == "ready"
    [row] = embeddings.list_embeddings(box.db, 1, "toy@1", 0)
    assert row.audio_id == recording.id
    assert row.vector == DIRECTION.astype("<f4").tobytes()
    assert queued_work(box) == []


def test_without_the_lease_nothing_is_written(box: Box, dataset_id: str) -> None:
    first, normalize = normalizing_audio(box, dataset_id)
    second, embed = embedding_audio(box, dataset_id)
    lose_lease(box, normalize)
    lose_lease(box, embed)
    before = snapshot(box)
    with pytest.raises(LeaseLost):
        work.complete_normalizing(box, normalize, first, PROPERTIES, 1000)
    with pytest.raises(LeaseLost):
        work.complete_embedding(box, embed, second, "toy@1", DIRECTION, 1000)
    assert snapshot(box) == before


def test_in_another_status_nothing_is_written(box: Box, dataset_id: str) -> None:
    first, normalize = normalizing_audio(box, dataset_id)
    second, embed = embedding_audio(box, dataset_id)
    with box.db.transaction() as tx:
        audio_rows.mark_failed(tx, first.id, "normalizing", "code", "Why.")
        audio_rows.mark_failed(tx, second.id, "embedding", "code", "Why.")
    before = snapshot(box)
    with pytest.raises(UnexpectedStatus):
        work.complete_normalizing(box, normalize, first, PROPERTIES, 1000)
    with pytest.raises(UnexpectedStatus):
        work.complete_embedding(box, embed, second, "toy@1", DIRECTION, 1000)
    assert snapshot(box) == before


def test_a_failure_at_either_step_fails_the_audio(box: Box, dataset_id: str) -> None:
    for recording, task in (normalizing_audio(box, dataset_id), embedding_audio(box, dataset_id)):
        leases.fail(box, task, CorruptAudio("Not a recording."))
        failed = audio.find_audio(box, 1, dataset_id, recording.id)
        assert (failed.status, failed.error_code, failed.error_message) == (
            "failed",
            "corrupt_audio",
            "Not a recording.",
        )
    assert queued_work(box) == []


def test_the_work_on_deleted_audio_is_gone(box: Box, dataset_id: str) -> None:
    recording, task = normalizing_audio(box, dataset_id)
    assert work.load_audio(box, task) == recording
    assert not work.is_gone(box, task)
    audio.delete_audio(box, 1, dataset_id, recording.id)
    assert work.is_gone(box, task)
    with pytest.raises(SubjectGone):
        work.load_audio(box, task)
    with pytest.raises(LeaseLost):
        work.complete_normalizing(box, task, recording, PROPERTIES, 1000)
