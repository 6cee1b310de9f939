"""Annotation sets: versioned labels of a whole dataset. A draft can be edited; a published set never changes.

A set's annotations share their table with the annotations of single recordings, which belong to no set.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from appliance.errors import Conflict, NotFound, NotReady
from appliance.services.box import Box
from appliance.services.datasets.annotations import Mark, check_mark
from appliance.services.datasets.datasets import find_dataset
from appliance.services.paging import split_page
from appliance.state import annotation_sets as set_rows
from appliance.state.annotation_sets import AnnotationSet, SetAnnotation
from appliance.state.database import Reader
from appliance.state.datasets import Dataset


@dataclass(frozen=True)
class NewAnnotation:
    """A labeled stretch of a recording, not stored yet; times in whole milliseconds, confidence 0 to 1."""

    audio_id: str
    artifact_type: str
    start_ms: int
    end_ms: int
    confidence: float = 1.0


@dataclass(frozen=True)
class SetPath:
    """Names an annotation set, as its client does."""

    tenant_id: int
    dataset_id: str
    set_id: str


def create_set(box: Box, tenant_id: int, dataset_id: str) -> AnnotationSet:
    """Create an empty draft with the dataset's next version. Raises NotFound."""
    set_id = str(uuid.uuid4())
    with box.db.transaction() as tx:
        find_dataset(box, tenant_id, dataset_id)
        set_rows.insert_set(tx, set_id, dataset_id)
    return find_set(box, SetPath(tenant_id, dataset_id, set_id))


def find_set(box: Box, path: SetPath) -> AnnotationSet:
    """Return an annotation set. Raises NotFound."""
    find_dataset(box, path.tenant_id, path.dataset_id)
    annotation_set = set_rows.get_set(box.db, path.dataset_id, path.set_id)
    if annotation_set is None:
        raise NotFound("There is no such annotation set in this dataset.")
    return annotation_set


def list_sets(
    box: Box, tenant_id: int, dataset_id: str, *, status: str | None, after: int | None, limit: int, offset: int = 0
) -> tuple[list[AnnotationSet], int | None]:
    """Return a page of sets in order of their version, and the version after which the next page starts.

    Raises NotFound.
    """
    find_dataset(box, tenant_id, dataset_id)
    rows = set_rows.list_sets(box.db, dataset_id, status=status, after=after, limit=limit + 1, offset=offset)
    return split_page(rows, limit)


def count_sets(box: Box, tenant_id: int, dataset_id: str, status: str | None) -> int:
    """Return the number of the dataset's sets. Raises NotFound."""
    find_dataset(box, tenant_id, dataset_id)
    return set_rows.count_sets(box.db, dataset_id, status)


def publish_set(box: Box, path: SetPath) -> AnnotationSet:
    """Publish a draft. Raises NotFound, and Conflict if the set is published already."""
    with box.db.transaction() as tx:
        find_draft(box, path)
        set_rows.mark_published(tx, path.set_id)
    return find_set(box, path)


def add_annotations(box: Box, path: SetPath, annotations: Sequence[NewAnnotation]) -> list[SetAnnotation]:
    """Store all annotations in a draft, or none.

    Raises NotFound, NotReady, Conflict for a published set, and InvalidRequest. If there are several annotations, the
    message has the number of the one that is refused.
    """
    with box.db.transaction() as tx:
        dataset = find_dataset(box, path.tenant_id, path.dataset_id)
        find_draft(box, path)
        check_annotations(tx, dataset, annotations)
        return set_rows.insert_annotations(
            tx,
            path.set_id,
            ((str(uuid.uuid4()), a.audio_id, a.artifact_type, a.start_ms, a.end_ms, a.confidence) for a in annotations),
        )


def list_annotations(
    box: Box,
    path: SetPath,
    *,
    audio_id: str | None,
    artifact_type: str | None,
    after: int | None,
    limit: int,
    offset: int = 0,
) -> tuple[list[SetAnnotation], int | None]:
    """Return a page of a set's annotations, oldest first, and the sequence after which the next page starts.

    Raises NotFound.
    """
    find_set(box, path)
    rows = set_rows.list_annotations(
        box.db,
        path.set_id,
        audio_id=audio_id,
        artifact_type=artifact_type,
        after=after,
        limit=limit + 1,
        offset=offset,
    )
    return split_page(rows, limit)


def count_annotations(box: Box, path: SetPath, *, audio_id: str | None, artifact_type: str | None) -> int:
    """Return the number of a set's annotations. Raises NotFound."""
    find_set(box, path)
    return set_rows.count_annotations(box.db, path.set_id, audio_id=audio_id, artifact_type=artifact_type)


def change_annotation(box: Box, path: SetPath, annotation_id: str, changes: dict[str, Any]) -> SetAnnotation:
    """Change fields of ``NewAnnotation`` in an annotation of a draft.

    Raises NotFound, Conflict for a published set, NotReady and InvalidRequest.
    """
    with box.db.transaction() as tx:
        dataset = find_dataset(box, path.tenant_id, path.dataset_id)
        find_draft(box, path)
        old = find_annotation(box, path, annotation_id)
        values = {name: getattr(old, name) for name in NewAnnotation.__dataclass_fields__} | changes
        new = NewAnnotation(**values)
        check_annotations(tx, dataset, [new])
        set_rows.update_annotation(tx, annotation_id, **asdict(new))
    return find_annotation(box, path, annotation_id)


def delete_annotation(box: Box, path: SetPath, annotation_id: str) -> None:
    """Remove an annotation from a draft. Raises NotFound, and Conflict for a published set."""
    with box.db.transaction() as tx:
        find_draft(box, path)
        if not set_rows.delete_annotation(tx, path.set_id, annotation_id):
            raise NotFound("There is no such annotation in this annotation set.")


def find_draft(box: Box, path: SetPath) -> AnnotationSet:
    """Return an annotation set that can be changed. Raises NotFound, and Conflict if the set is published."""
    annotation_set = find_set(box, path)
    if annotation_set.status != "draft":
        raise Conflict("The annotation set is published and never changes. Create a new one.")
    return annotation_set


def find_annotation(box: Box, path: SetPath, annotation_id: str) -> SetAnnotation:
    """Return an annotation of a set. Raises NotFound."""
    find_set(box, path)
    annotation = set_rows.get_annotation(box.db, path.set_id, annotation_id)
    if annotation is None:
        raise NotFound("There is no such annotation in this annotation set.")
    return annotation


def check_annotations(db: Reader, dataset: Dataset, annotations: Sequence[NewAnnotation]) -> None:
    """Check annotations against their recordings and the dataset. Raises NotFound, NotReady and InvalidRequest."""
    durations_ms = set_rows.durations_ms(db, dataset.id, {annotation.audio_id for annotation in annotations})
    for number, annotation in enumerate(annotations, 1):
        where = f"annotation {number}: " if len(annotations) > 1 else ""
        if annotation.audio_id not in durations_ms:
            raise NotFound(f"{where}audio_file_id: There is no such audio in this dataset.")
        duration_ms = durations_ms[annotation.audio_id]
        if duration_ms is None:
            raise NotReady(f"{where}audio_file_id: The audio is not ready to be annotated; see processing_status.")
        mark = Mark(annotation.artifact_type, annotation.start_ms, annotation.end_ms)
        check_mark(mark, dataset, duration_ms, where)
