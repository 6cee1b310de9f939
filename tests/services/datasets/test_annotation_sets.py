"""Annotation sets: versions, drafts and published sets, bulk calls, and what a dataset's artifact types allow."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from appliance.errors import Conflict, InvalidRequest, NotFound, NotReady, StateError
from appliance.services.box import Box
from appliance.services.datasets import annotation_sets as service
from appliance.services.datasets import annotations as annotation_service
from appliance.services.datasets import audio, datasets
from appliance.services.datasets.annotation_sets import NewAnnotation, SetPath
from appliance.services.datasets.annotations import Mark
from appliance.state.annotation_sets import SetAnnotation
from appliance.state.datasets import ArtifactType
from tests.services.datasets.recordings import PROPERTIES, normalizing_audio, ready_audio
from tests.support.boxes import snapshot

DURATION_MS = PROPERTIES.duration_ms
TYPES = [ArtifactType("click", None, "#FF0000"), ArtifactType("hum", "50 Hz", "#00ff00")]


@pytest.fixture
def audio_id(box: Box, dataset_id: str) -> str:
    """Audio of one second that is ready to be annotated."""
    return ready_audio(box, dataset_id)


@pytest.fixture
def draft(box: Box, dataset_id: str) -> SetPath:
    """An empty draft."""
    return SetPath(1, dataset_id, service.create_set(box, 1, dataset_id).id)


def everything(box: Box, path: SetPath) -> list[SetAnnotation]:
    """All annotations of a set."""
    rows, end = service.list_annotations(box, path, audio_id=None, artifact_type=None, after=None, limit=100_000)
    assert end is None
    return rows


def test_versions_count_from_one_in_each_dataset(box: Box, dataset_id: str) -> None:
    other = datasets.create_dataset(box, 1, "other", "").id
    assert [service.create_set(box, 1, dataset_id).version for _ in range(3)] == [1, 2, 3]
    assert service.create_set(box, 1, other).version == 1
    first, place = service.list_sets(box, 1, dataset_id, status=None, after=None, limit=2)
    rest, end = service.list_sets(box, 1, dataset_id, status=None, after=place, limit=2)
    assert ([row.version for row in first], [row.version for row in rest], end) == ([1, 2], [3], None)
    assert datasets.find_dataset(box, 1, dataset_id).num_annotation_sets == 3


def test_a_draft_is_published_once(box: Box, dataset_id: str, draft: SetPath) -> None:
    assert service.find_set(box, draft).status == "draft"
    assert service.publish_set(box, draft).status == "published"
    with pytest.raises(Conflict, match="published"):
        service.publish_set(box, draft)
    listed = service.list_sets(box, 1, dataset_id, status="published", after=None, limit=10)[0]
    assert [row.id for row in listed] == [draft.set_id]
    assert service.count_sets(box, 1, dataset_id, "draft") == 0


def test_a_published_set_never_changes(box: Box, audio_id: str, draft: SetPath) -> None:
    new = NewAnnotation(audio_id, "click", 0, 10)
    [annotation] = service.add_annotations(box, draft, [new])
    service.publish_set(box, draft)
    before = snapshot(box)
    calls: list[Callable[[], object]] = [
        lambda: service.add_annotations(box, draft, [new]),
        lambda: service.change_annotation(box, draft, annotation.id, {"end_ms": 11}),
        lambda: service.delete_annotation(box, draft, annotation.id),
    ]
    for call in calls:
        with pytest.raises(Conflict, match="never changes"):
            call()
    for statement in (
        f"UPDATE annotations SET end_ms = 11 WHERE id = '{annotation.id}'",
        f"UPDATE annotations SET set_id = NULL WHERE id = '{annotation.id}'",
        "INSERT INTO annotations (id, set_id, audio_id, artifact_type, start_ms, end_ms, created_at) "
        f"VALUES ('x', '{draft.set_id}', '{audio_id}', 'x', 0, 1, 0)",
        f"UPDATE annotation_sets SET status = 'draft' WHERE id = '{draft.set_id}'",
    ):
        with pytest.raises(StateError), box.db.transaction() as tx:
            tx.change(statement)
    assert snapshot(box) == before


def test_annotations_are_stored_in_the_order_of_the_request(box: Box, audio_id: str, draft: SetPath) -> None:
    new = [NewAnnotation(audio_id, f"t{n}", 900 - n, 901, confidence=n / 7) for n in range(7)]
    stored = service.add_annotations(box, draft, new)
    assert [(a.artifact_type, a.start_ms, a.confidence) for a in stored] == [
        (a.artifact_type, a.start_ms, a.confidence) for a in new
    ]
    assert everything(box, draft) == stored
    page, place = service.list_annotations(box, draft, audio_id=None, artifact_type=None, after=None, limit=5)
    rest, _ = service.list_annotations(box, draft, audio_id=None, artifact_type=None, after=place, limit=5)
    assert page + rest == stored
    assert service.find_set(box, draft).num_annotations == 7


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"start_ms": -1}, InvalidRequest, "annotation 3: end_ms: must be after start_ms"),
        ({"end_ms": 5}, InvalidRequest, "annotation 3: end_ms: must be after start_ms"),
        ({"end_ms": DURATION_MS + 1}, InvalidRequest, "annotation 3: end_ms: 1001 is after the recording's end"),
        ({"artifact_type": ""}, InvalidRequest, "annotation 3: artifact_type"),
        ({"audio_id": "none"}, NotFound, "annotation 3: audio_file_id"),
    ],
)
def test_one_wrong_annotation_keeps_out_all(
    box: Box, audio_id: str, draft: SetPath, change: dict, error: type[Exception], message: str
) -> None:
    good: dict[str, Any] = {"audio_id": audio_id, "artifact_type": "x", "start_ms": 5, "end_ms": 9}
    new = [NewAnnotation(**good), NewAnnotation(**good), NewAnnotation(**good | change), NewAnnotation(**good)]
    with pytest.raises(error, match=message):
        service.add_annotations(box, draft, new)
    assert everything(box, draft) == []


def test_only_ready_audio_of_the_same_dataset_is_annotated(box: Box, dataset_id: str, draft: SetPath) -> None:
    recording, _ = normalizing_audio(box, dataset_id)
    with pytest.raises(NotReady):
        service.add_annotations(box, draft, [NewAnnotation(recording.id, "x", 0, 1)])
    other = ready_audio(box, datasets.create_dataset(box, 1, "other", "").id)
    with pytest.raises(NotFound, match="in this dataset"):
        service.add_annotations(box, draft, [NewAnnotation(other, "x", 0, 1)])


def test_a_dataset_with_types_takes_only_these(box: Box, dataset_id: str, audio_id: str, draft: SetPath) -> None:
    [old] = service.add_annotations(box, draft, [NewAnnotation(audio_id, "anything", 0, 1)])
    datasets.change_dataset(box, 1, dataset_id, None, None, TYPES)
    assert datasets.find_dataset(box, 1, dataset_id).artifact_types == TYPES
    service.add_annotations(box, draft, [NewAnnotation(audio_id, "hum", 0, 1)])
    with pytest.raises(InvalidRequest, match="'buzz' is not one of the dataset's types: click, hum"):
        service.add_annotations(box, draft, [NewAnnotation(audio_id, "buzz", 0, 1)])
    with pytest.raises(InvalidRequest, match="'buzz' is not one"):
        annotation_service.add_annotations(box, 1, dataset_id, audio_id, [Mark("buzz", 0, 1)])
    assert service.find_annotation(box, draft, old.id) == old
    datasets.change_dataset(box, 1, dataset_id, "renamed", None)
    assert datasets.find_dataset(box, 1, dataset_id).artifact_types == TYPES
    datasets.change_dataset(box, 1, dataset_id, None, None, [])
    service.add_annotations(box, draft, [NewAnnotation(audio_id, "buzz", 0, 1)])


def test_one_annotation_is_changed_and_deleted(box: Box, audio_id: str, draft: SetPath) -> None:
    kept, changed = service.add_annotations(box, draft, [NewAnnotation(audio_id, "x", 0, 10)] * 2)
    after = service.change_annotation(box, draft, changed.id, {"end_ms": 20, "confidence": 0.5})
    assert (after.start_ms, after.end_ms, after.confidence, after.artifact_type) == (0, 20, 0.5, "x")
    for wrong in ({"start_ms": 20}, {"end_ms": 5000}, {"artifact_type": ""}):
        with pytest.raises(InvalidRequest):
            service.change_annotation(box, draft, changed.id, wrong)
    with pytest.raises(NotFound):
        service.change_annotation(box, draft, changed.id, {"audio_id": "none"})
    assert everything(box, draft) == [kept, after]
    service.delete_annotation(box, draft, changed.id)
    for gone in (changed.id, "none"):
        with pytest.raises(NotFound):
            service.delete_annotation(box, draft, gone)
        with pytest.raises(NotFound):
            service.change_annotation(box, draft, gone, {})
    assert everything(box, draft) == [kept]


def test_annotations_of_sets_and_of_recordings_do_not_mix(
    box: Box, dataset_id: str, audio_id: str, draft: SetPath
) -> None:
    [single] = annotation_service.add_annotations(box, 1, dataset_id, audio_id, [Mark("x", 0, 1)])
    [in_set] = service.add_annotations(box, draft, [NewAnnotation(audio_id, "x", 0, 1)])
    assert annotation_service.list_annotations(box, 1, dataset_id, audio_id) == [single]
    assert annotation_service.count_annotations(box, 1, dataset_id, audio_id) == 1
    assert everything(box, draft) == [in_set]
    with pytest.raises(NotFound):
        annotation_service.delete_annotation(box, 1, dataset_id, audio_id, in_set.id)
    with pytest.raises(NotFound):
        service.delete_annotation(box, draft, single.id)
    service.publish_set(box, draft)
    annotation_service.delete_annotation(box, 1, dataset_id, audio_id, single.id)


def test_filters_find_the_annotations_of_a_recording_and_of_a_type(
    box: Box, dataset_id: str, audio_id: str, draft: SetPath
) -> None:
    other = ready_audio(box, dataset_id)
    new = [NewAnnotation(name, kind, 0, 1) for name in (audio_id, other) for kind in ("a", "b")]
    stored = service.add_annotations(box, draft, new)
    for audio_filter in (None, audio_id, other, "none"):
        for type_filter in (None, "a", "b", "none"):
            expected = [a for a in stored if audio_filter in (None, a.audio_id)]
            expected = [a for a in expected if type_filter in (None, a.artifact_type)]
            filters: dict[str, Any] = {"audio_id": audio_filter, "artifact_type": type_filter}
            assert service.list_annotations(box, draft, **filters, after=None, limit=10) == (expected, None)
            assert service.count_annotations(box, draft, **filters) == len(expected)


def test_deleting_audio_or_the_dataset_deletes_theirs(box: Box, dataset_id: str, audio_id: str, draft: SetPath) -> None:
    other = ready_audio(box, dataset_id)
    service.add_annotations(box, draft, [NewAnnotation(name, "x", 0, 1) for name in (audio_id, other)])
    service.publish_set(box, draft)
    audio.delete_audio(box, 1, dataset_id, audio_id)
    assert [row.audio_id for row in everything(box, draft)] == [other]
    datasets.delete_dataset(box, 1, dataset_id)
    assert snapshot(box)["annotations"] == snapshot(box)["annotation_sets"] == []


def test_the_sets_of_another_tenant_or_dataset_are_not_found(
    box: Box, dataset_id: str, audio_id: str, draft: SetPath
) -> None:
    [annotation] = service.add_annotations(box, draft, [NewAnnotation(audio_id, "x", 0, 1)])
    elsewhere = datasets.create_dataset(box, 1, "other", "").id
    second = SetPath(1, dataset_id, service.create_set(box, 1, dataset_id).id)
    before = snapshot(box)
    for path in (SetPath(2, dataset_id, draft.set_id), SetPath(1, elsewhere, draft.set_id), second):
        calls: list[Callable[[], object]] = [
            partial(service.change_annotation, box, path, annotation.id, {}),
            partial(service.delete_annotation, box, path, annotation.id),
            partial(service.find_annotation, box, path, annotation.id),
        ]
        if path is not second:
            calls += [
                partial(service.find_set, box, path),
                partial(service.publish_set, box, path),
                partial(service.add_annotations, box, path, []),
                partial(everything, box, path),
            ]
        for call in calls:
            with pytest.raises(NotFound):
                call()
    with pytest.raises(NotFound):
        service.create_set(box, 2, dataset_id)
    assert snapshot(box) == before


def test_a_bulk_call_costs_in_proportion_to_its_size(box: Box, audio_id: str, draft: SetPath) -> None:
    def seconds(count: int) -> float:
        new = [NewAnnotation(audio_id, "x", n % 900, n % 900 + 1) for n in range(count)]
        start = time.process_time()  # of the CPU, however busy the machine is
        service.add_annotations(box, draft, new)
        return time.process_time() - start

    assert min(seconds(10_000) for _ in range(3)) < 20 * min(seconds(1000) for _ in range(3))
