"""Two jobs on the same recordings, side by side: what one model or version reported and the other did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from appliance.errors import InvalidRequest, NotFound
from appliance.services.box import Box
from appliance.services.inference.jobs import find_settings
from appliance.services.paging import split_page
from appliance.state import inference_files
from appliance.state.inference_files import FileDetection, InferenceFile


@dataclass(frozen=True)
class Matched:
    """A detection, and whether the other job has one of its type there."""

    detection: FileDetection
    is_matched: bool


@dataclass(frozen=True)
class ComparedFile:
    """A recording of both jobs. ``there`` is None if the other job has no completed file of it."""

    file: InferenceFile
    other: InferenceFile | None
    here: list[Matched]
    there: list[Matched]


def compare_jobs(
    box: Box, tenant_id: int, job_id: str, other_id: str, *, tolerance_ms: int, after: int | None, limit: int
) -> tuple[list[ComparedFile], int | None]:
    """Return a page of a job's completed files beside those of another job, and the sequence after which more follow.

    Two files are the same recording if their bytes are, or else if their names and sizes are. Raises NotFound, and
    InvalidRequest for a comparison of a job with itself.
    """
    find_settings(box, tenant_id, job_id)
    if job_id == other_id:
        raise InvalidRequest("with: must be another job.")
    try:
        find_settings(box, tenant_id, other_id)
    except NotFound as error:
        raise NotFound(f"with: {error}") from error
    rows = inference_files.list_files(box.db, job_id, status="completed", after=after or 0, limit=limit + 1)
    page, end = split_page(rows, limit)
    others = _Others(inference_files.list_same(box.db, other_id, page))
    pairs = [(file, others.of(file)) for file in page]
    detections = inference_files.list_detections(box.db, [*page, *(other for _, other in pairs if other)])
    compared = []
    for file, other in pairs:
        here, there = detections.get(file.id, []), detections.get(other.id, []) if other else []
        compared.append(ComparedFile(file, other, _match(here, there, tolerance_ms), _match(there, here, tolerance_ms)))
    return compared, end


class _Others:
    """The files of the other job, by their bytes and by their names."""

    def __init__(self, files: Sequence[InferenceFile]) -> None:
        self._by_bytes = {(file.declared_size_bytes, file.etag): file for file in reversed(files)}
        self._by_name = {(file.declared_size_bytes, file.original_filename): file for file in reversed(files)}

    def of(self, file: InferenceFile) -> InferenceFile | None:
        """Return the file that is the same recording, or None."""
        size_bytes = file.declared_size_bytes
        same = self._by_bytes.get((size_bytes, file.etag))
        return same or self._by_name.get((size_bytes, file.original_filename))


def _match(detections: Sequence[FileDetection], others: Sequence[FileDetection], tolerance_ms: int) -> list[Matched]:
    """Say of each detection whether one of the others has its type and is at most the tolerance away.

    The detections of one type in one file are in order and never overlap, so that their ends are in order too.
    """
    starts: dict[str, np.ndarray] = {}
    ends: dict[str, np.ndarray] = {}
    for name in {other.artifact_type for other in others}:
        starts[name] = np.array([other.start_ms for other in others if other.artifact_type == name])
        ends[name] = np.array([other.end_ms for other in others if other.artifact_type == name])
    matched = []
    for detection in detections:
        name, is_matched = detection.artifact_type, False
        if name in starts:
            place = int(np.searchsorted(ends[name], detection.start_ms - tolerance_ms))
            is_matched = place < len(starts[name]) and starts[name][place] <= detection.end_ms + tolerance_ms
        matched.append(Matched(detection, bool(is_matched)))
    return matched
