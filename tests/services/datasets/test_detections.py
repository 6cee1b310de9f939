"""Annotations from detections: which are copied, and when both sides are not the same recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from appliance.errors import Conflict, InvalidRequest, NotFound, NotReady
from appliance.services.box import Box
from appliance.services.datasets import annotation_sets, datasets
from appliance.services.datasets.annotation_sets import SetPath
from appliance.services.datasets.detections import annotate_from_detections
from appliance.state import inference_files
from appliance.state import work as queue
from appliance.state.datasets import ArtifactType
from appliance.state.inference_files import FileDetection
from tests.services.datasets.recordings import PROPERTIES, normalizing_audio, ready_audio
from tests.support.boxes import new_file, new_job, snapshot

DURATION_MS = PROPERTIES.duration_ms
DETECTIONS = [
    FileDetection("click", 10, 12, 0.9),
    FileDetection("hum", 0, DURATION_MS, 0.5),
    FileDetection("click", 500, 501, 0.4999),
]


@pytest.fixture
def audio_id(box: Box, dataset_id: str) -> str:
    """Audio of one second that is ready to be annotated."""
    return ready_audio(box, dataset_id)


@pytest.fixture
def draft(box: Box, dataset_id: str) -> SetPath:
    """An empty draft."""
    return SetPath(1, dataset_id, annotation_sets.create_set(box, 1, dataset_id).id)


def completed_file(
    box: Box, duration_ms: int = DURATION_MS, detections: list[FileDetection] = DETECTIONS
) -> dict[str, Any]:
    """An inference file with detections: its job and its id."""
    job_id = new_job(box)
    file_id = new_file(box, job_id)
    with box.db.transaction() as tx:
        assert inference_files.mark_processing(tx, file_id)
        assert inference_files.mark_completed(tx, file_id, duration_ms, detections)
        queue.forget(tx, file_id)
    return {"job_id": job_id, "file_id": file_id}


def test_every_detection_becomes_an_annotation(box: Box, audio_id: str, draft: SetPath) -> None:
    stored = annotate_from_detections(box, draft, audio_id=audio_id, **completed_file(box))
    assert [FileDetection(a.artifact_type, a.start_ms, a.end_ms, a.confidence) for a in stored] == DETECTIONS
    assert {(a.audio_id, a.set_id) for a in stored} == {(audio_id, draft.set_id)}


@pytest.mark.parametrize(
    ("threshold", "artifact_types", "expected"),
    [
        (0.5, None, [0, 1]),
        (0.4999, None, [0, 1, 2]),
        (1.0, None, []),
        (0.0, ["click"], [0, 2]),
        (0.5, ["click"], [0]),
        (0.0, [], []),
    ],
)
def test_detections_are_chosen_by_confidence_and_type(
    box: Box, audio_id: str, draft: SetPath, threshold: float, artifact_types: list[str] | None, expected: list[int]
) -> None:
    file = completed_file(box)
    stored = annotate_from_detections(
        box, draft, audio_id=audio_id, **file, threshold=threshold, artifact_types=artifact_types
    )
    assert [a.start_ms for a in stored] == [DETECTIONS[i].start_ms for i in expected]


@pytest.mark.parametrize("difference_ms", [-1, 1])
def test_lengths_may_differ_by_a_millisecond(box: Box, audio_id: str, draft: SetPath, difference_ms: int) -> None:
    last = DURATION_MS + difference_ms
    file = completed_file(box, last, [FileDetection("click", last - 1, last, 0.5)])
    [annotation] = annotate_from_detections(box, draft, audio_id=audio_id, **file)
    assert (annotation.start_ms, annotation.end_ms) == (min(last, DURATION_MS) - 1, min(last, DURATION_MS))


@pytest.mark.parametrize("difference_ms", [-2, 2])
def test_another_length_is_another_recording(box: Box, audio_id: str, draft: SetPath, difference_ms: int) -> None:
    with pytest.raises(InvalidRequest, match="not the same recording"):
        annotate_from_detections(
            box, draft, audio_id=audio_id, **completed_file(box, DURATION_MS + difference_ms, DETECTIONS[:1])
        )


def test_a_type_that_the_dataset_does_not_define_keeps_out_all(
    box: Box, dataset_id: str, audio_id: str, draft: SetPath
) -> None:
    datasets.change_dataset(box, 1, dataset_id, None, None, [ArtifactType("click", None, "#FF0000")])
    file = completed_file(box)
    before = snapshot(box)
    with pytest.raises(InvalidRequest, match="'hum' is not one of the dataset's types: click"):
        annotate_from_detections(box, draft, audio_id=audio_id, **file)
    assert snapshot(box) == before
    assert len(annotate_from_detections(box, draft, audio_id=audio_id, **file, artifact_types=["click"])) == 2


def test_unready_unknown_and_published_things_are_refused(
    box: Box, dataset_id: str, audio_id: str, draft: SetPath
) -> None:
    file = completed_file(box)
    their_dataset = datasets.create_dataset(box, 2, "name", "").id
    theirs = SetPath(2, their_dataset, annotation_sets.create_set(box, 2, their_dataset).id)
    their_audio = ready_audio(box, theirs.dataset_id)
    unready, _ = normalizing_audio(box, dataset_id)
    waiting = new_file(box, file["job_id"])
    published = SetPath(1, dataset_id, annotation_sets.create_set(box, 1, dataset_id).id)
    annotation_sets.publish_set(box, published)
    before = snapshot(box)
    cases: list[tuple[type[Exception], Callable[[], object]]] = [
        (NotReady, lambda: annotate_from_detections(box, draft, audio_id=audio_id, **file | {"file_id": waiting})),
        (NotReady, lambda: annotate_from_detections(box, draft, audio_id=unready.id, **file)),
        (NotFound, lambda: annotate_from_detections(box, draft, audio_id="none", **file)),
        (NotFound, lambda: annotate_from_detections(box, draft, audio_id=their_audio, **file)),
        (NotFound, lambda: annotate_from_detections(box, draft, audio_id=audio_id, **file | {"file_id": "none"})),
        (NotFound, lambda: annotate_from_detections(box, draft, audio_id=audio_id, **file | {"job_id": "none"})),
        (NotFound, lambda: annotate_from_detections(box, theirs, audio_id=their_audio, **file)),
        (Conflict, lambda: annotate_from_detections(box, published, audio_id=audio_id, **file)),
    ]
    for error, call in cases:
        with pytest.raises(error):
            call()
    assert snapshot(box) == before
