"""Annotations from detections: what a model reported becomes a first version of the labels, for a person to correct."""

from __future__ import annotations

from collections.abc import Collection

from appliance.errors import InvalidRequest, NotFound, NotReady
from appliance.services.box import Box
from appliance.services.datasets.annotation_sets import NewAnnotation, SetPath, add_annotations, find_draft
from appliance.services.datasets.audio import find_audio
from appliance.state import inference_files, inference_jobs
from appliance.state.annotation_sets import SetAnnotation
from appliance.state.inference_files import InferenceFile

TOLERANCE_MS = 1


def annotate_from_detections(
    box: Box,
    path: SetPath,
    *,
    audio_id: str,
    job_id: str,
    file_id: str,
    threshold: float = 0.0,
    artifact_types: Collection[str] | None = None,
) -> list[SetAnnotation]:
    """Copy the detections of a completed inference file onto a recording of the dataset, all or none.

    Only detections with at least the confidence ``threshold`` are copied, and only those of ``artifact_types``; None is
    all types. Inference files have no checksum, so only the lengths show whether both are the same recording.

    Raises NotFound, NotReady, Conflict for a published set, and InvalidRequest if the lengths differ by more than
    1 ms, or if the dataset defines types and a detection has another one.
    """
    find_draft(box, path)
    recording = find_audio(box, path.tenant_id, path.dataset_id, audio_id)
    if recording.status != "ready" or recording.duration_ms is None:
        raise NotReady("audio_file_id: The audio is not ready to be annotated; see processing_status.")
    file = _find_file(box, path.tenant_id, job_id, file_id)
    if file.status != "completed" or file.duration_ms is None:
        raise NotReady(f"file_id: The inference file is {file.status}, and only a completed one has detections.")
    if abs(file.duration_ms - recording.duration_ms) > TOLERANCE_MS:
        raise InvalidRequest(
            f"file_id: The inference file has {file.duration_ms} ms and the audio {recording.duration_ms} ms, "
            "so they are not the same recording."
        )
    last_ms = recording.duration_ms
    annotations = [
        NewAnnotation(
            audio_id,
            detection.artifact_type,
            min(detection.start_ms, last_ms - 1),
            min(detection.end_ms, last_ms),
            detection.confidence,
        )
        for detection in inference_files.list_detections(box.db, [file]).get(file.id, [])
        if detection.confidence >= threshold and (artifact_types is None or detection.artifact_type in artifact_types)
    ]
    return add_annotations(box, path, annotations)


def _find_file(box: Box, tenant_id: int, job_id: str, file_id: str) -> InferenceFile:
    job = inference_jobs.get_settings(box.db, job_id)
    if job is None or job.tenant_id != tenant_id:
        raise NotFound("job_id: There is no such inference job.")
    file = inference_files.get_file(box.db, job_id, file_id)
    if file is None:
        raise NotFound("file_id: There is no such file in this inference job.")
    return file
