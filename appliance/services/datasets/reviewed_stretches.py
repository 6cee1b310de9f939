"""Reviewed stretches: a person listened to them for some labels, so what is not annotated there is not there.

Training takes its negatives from them alone. What nobody listened to may have any label.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from appliance.errors import AnnotationRefused, Conflict, NotFound, NotReady
from appliance.services.box import Box
from appliance.services.datasets.audio import find_audio
from appliance.services.datasets.datasets import find_dataset
from appliance.state import reviewed_stretches as rows
from appliance.state.reviewed_stretches import ReviewedStretch

MAX_OF_RECORDING = 10_000


def review_stretch(
    box: Box, tenant_id: int, dataset_id: str, audio_id: str, labels: Sequence[str], start_ms: int, end_ms: int | None
) -> ReviewedStretch:
    """Note that a person listened to a stretch for these labels. ``end_ms`` None is the recording's end.

    Raises NotFound, NotReady, AnnotationRefused with the field that is wrong, and Conflict if there are too many.
    """
    recording = find_audio(box, tenant_id, dataset_id, audio_id)
    if recording.status != "ready" or recording.duration_ms is None:
        raise NotReady("The audio is not ready to be reviewed; see processing_status and processing_error.")
    end_ms = recording.duration_ms if end_ms is None else end_ms
    if end_ms > recording.duration_ms:
        raise AnnotationRefused(f"end_ms: {end_ms} is after the recording's end at {recording.duration_ms}.")
    if start_ms >= end_ms:
        raise AnnotationRefused(f"start_ms: {start_ms} is not before the end of the stretch at {end_ms}.")
    defined = [artifact_type.name for artifact_type in find_dataset(box, tenant_id, dataset_id).artifact_types]
    unknown = [label for label in labels if defined and label not in defined]
    if unknown:
        raise AnnotationRefused(f"labels: {unknown[0]!r} is not one of the dataset's types: {', '.join(defined)}.")
    stretch_id = str(uuid.uuid4())
    with box.db.transaction() as tx:
        find_audio(box, tenant_id, dataset_id, audio_id)
        if rows.count_stretches(tx, audio_id) >= MAX_OF_RECORDING:
            raise Conflict(f"The recording has {MAX_OF_RECORDING:,} reviews, as many as it can have.")
        rows.insert_stretch(tx, stretch_id, audio_id, [*dict.fromkeys(labels)], start_ms, end_ms)
        return next(stretch for stretch in rows.list_stretches(tx, audio_id) if stretch.id == stretch_id)


def list_stretches(box: Box, tenant_id: int, dataset_id: str, audio_id: str) -> list[ReviewedStretch]:
    """Return the reviewed stretches of a recording in order of their start. Raises NotFound."""
    find_audio(box, tenant_id, dataset_id, audio_id)
    return rows.list_stretches(box.db, audio_id)


def delete_stretch(box: Box, tenant_id: int, dataset_id: str, audio_id: str, stretch_id: str) -> None:
    """Remove a reviewed stretch. Raises NotFound."""
    find_audio(box, tenant_id, dataset_id, audio_id)
    with box.db.transaction() as tx:
        if not rows.delete_stretch(tx, audio_id, stretch_id):
            raise NotFound("There is no such review of this recording.")
