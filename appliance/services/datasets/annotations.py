"""Annotations of recordings; also as JSON lines and as Audacity label tracks.

They belong to no annotation set, although both kinds are rows of one table (``annotation_sets.py`` has the others). So
labels can be imported and corrected file by file without a version, publishing a set never locks them, and those of
the first release are what they were.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from appliance.audacity import audacity_line
from appliance.errors import AnnotationRefused, Conflict, InvalidRequest, NotFound, NotReady
from appliance.services.box import Box
from appliance.services.datasets.audio import find_audio
from appliance.services.datasets.datasets import find_dataset
from appliance.state import annotations as annotation_rows
from appliance.state.annotations import Annotation, Presence
from appliance.state.datasets import Dataset
from appliance.text import check_text

LINE_END = re.compile(r"\r\n|\n|\r")  # str.splitlines would also split labels, such as at U+2028
# A label track cannot hold line ends, and its readers, Audacity too, remove spaces around a label.
LOST_IN_LABEL_TRACK = re.compile(r"[\r\n]|\A\s|\s\Z")

MAX_MARKS = 10_000  # of one import
MAX_OF_RECORDING = 50_000


@dataclass(frozen=True)
class Mark:
    """A stretch of a recording with a label, not stored yet; times in whole milliseconds."""

    artifact_type: str
    start_ms: int
    end_ms: int
    presence: Presence = "present"


def add_annotations(box: Box, tenant_id: int, dataset_id: str, audio_id: str, marks: list[Mark]) -> list[Annotation]:
    """Store all marks, or none, and return them in order of their start.

    Raises NotFound, NotReady, InvalidRequest with the number of the invalid mark, AnnotationRefused if a label would be
    both present and absent, and Conflict if the recording would have too many annotations.
    """
    if len(marks) > MAX_MARKS:
        raise InvalidRequest(f"The file has {len(marks):,} annotations; one import can have {MAX_MARKS:,}.")
    recording = find_audio(box, tenant_id, dataset_id, audio_id)
    if recording.status != "ready" or recording.duration_ms is None:
        raise NotReady("The audio is not ready to be annotated; see processing_status and processing_error.")
    dataset = find_dataset(box, tenant_id, dataset_id)
    for number, mark in enumerate(marks, 1):
        check_mark(mark, dataset, recording.duration_ms, f"annotation {number}: " if len(marks) > 1 else "")
    ids = [str(uuid.uuid4()) for _ in marks]
    with box.db.transaction() as tx:
        find_audio(box, tenant_id, dataset_id, audio_id)
        total = annotation_rows.count_annotations(tx, audio_id)
        if total + len(marks) > MAX_OF_RECORDING:
            raise Conflict(f"The recording has {total:,} annotations; it can have {MAX_OF_RECORDING:,}.")
        check_contradictions([*annotation_rows.list_annotations(tx, audio_id), *marks])
        rows = [
            (i, mark.artifact_type, mark.start_ms, mark.end_ms, mark.presence)
            for i, mark in zip(ids, marks, strict=True)
        ]
        return annotation_rows.insert_annotations(tx, audio_id, rows)


def list_annotations(
    box: Box, tenant_id: int, dataset_id: str, audio_id: str, limit: int = -1, offset: int = 0
) -> list[Annotation]:
    """Return the annotations in order of their start, all or a part of them. Raises NotFound."""
    find_audio(box, tenant_id, dataset_id, audio_id)
    return annotation_rows.list_annotations(box.db, audio_id, limit, offset)


def count_annotations(box: Box, tenant_id: int, dataset_id: str, audio_id: str) -> int:
    """Return the number of annotations. Raises NotFound."""
    find_audio(box, tenant_id, dataset_id, audio_id)
    return annotation_rows.count_annotations(box.db, audio_id)


def delete_annotation(box: Box, tenant_id: int, dataset_id: str, audio_id: str, annotation_id: str) -> None:
    """Remove an annotation. Raises NotFound."""
    find_audio(box, tenant_id, dataset_id, audio_id)
    with box.db.transaction() as tx:
        if not annotation_rows.delete_annotation(tx, audio_id, annotation_id):
            raise NotFound("There is no such annotation.")


def to_json_lines(annotations: Iterable[Annotation]) -> str:
    """Write annotations as JSON lines, one object on each."""
    return "".join(f"{json.dumps(_row(annotation), ensure_ascii=False)}\n" for annotation in annotations)


def _row(annotation: Annotation) -> dict[str, object]:
    row = {"artifact_type": annotation.artifact_type, "start_ms": annotation.start_ms, "end_ms": annotation.end_ms}
    return row if annotation.presence == "present" else row | {"presence": annotation.presence}


def from_json_lines(text: str) -> list[Mark]:
    """Read JSON lines; empty lines are skipped. Raises InvalidRequest with the number of the invalid line."""
    marks = []
    for number, line in enumerate(LINE_END.split(text), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            mark = Mark(row["artifact_type"], row["start_ms"], row["end_ms"], row.get("presence", "present"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidRequest(
                f"line {number}: must be an object with artifact_type, start_ms and end_ms."
            ) from error
        if not isinstance(mark.artifact_type, str) or any(type(t) is not int for t in (mark.start_ms, mark.end_ms)):
            raise InvalidRequest(f"line {number}: artifact_type must be text, start_ms and end_ms whole numbers.")
        if mark.presence not in get_args(Presence):
            raise InvalidRequest(f"line {number}: presence must be one of {', '.join(get_args(Presence))}.")
        marks.append(mark)
    return marks


def to_audacity(annotations: Iterable[Annotation]) -> str:
    """Return a label track of what is present: start and end in seconds, and the label.

    A label track has no place for the other annotations. Raises InvalidRequest for a label that it cannot hold.
    """
    annotations = [annotation for annotation in annotations if annotation.presence == "present"]
    lost = next((a.artifact_type for a in annotations if LOST_IN_LABEL_TRACK.search(a.artifact_type)), None)
    if lost is not None:
        raise InvalidRequest(
            f"format: the label {lost!r} cannot be written to a label track, which has no line breaks and no spaces "
            "at the ends of labels; use jsonl."
        )
    return "".join(f"{audacity_line(a.start_ms, a.end_ms, a.artifact_type)}\n" for a in annotations)


def from_audacity(text: str) -> list[Mark]:
    """Read a label track; a point label becomes one millisecond. Raises InvalidRequest with the invalid line's number.

    Lines that begin with a backslash are skipped: they hold the frequencies of a spectral selection.
    """
    marks = []
    for number, line in enumerate(LINE_END.split(text), 1):
        if not line.strip() or line.startswith("\\"):
            continue
        fields = line.split("\t", 2)
        try:
            start, end = (float(field.replace(",", ".")) for field in fields[:2])
            start_ms, end_ms = math.floor(1000 * start + 1e-6), math.ceil(1000 * end - 1e-6)
        except (ValueError, OverflowError) as error:
            raise InvalidRequest(f"line {number}: must be start, end and label, separated by tabs.") from error
        label = fields[2].strip() if len(fields) == 3 else ""
        marks.append(Mark(label, start_ms, max(end_ms, start_ms + 1)))
    return marks


def check_contradictions(marks: Iterable[Mark | Annotation]) -> None:
    """Raise AnnotationRefused if a label is both present and absent at one moment of a recording."""
    last: dict[tuple[str, Presence], Mark | Annotation] = {}  # the one that ends last, of those that began before
    for mark in sorted(marks, key=lambda m: (m.start_ms, m.end_ms)):
        if mark.presence == "unsure":
            continue
        other = last.get((mark.artifact_type, "absent" if mark.presence == "present" else "present"))
        if other and other.end_ms > mark.start_ms:
            raise AnnotationRefused(
                f"artifact_type: {mark.artifact_type!r} would be {mark.presence} from {mark.start_ms} to {mark.end_ms} "
                f"ms and {other.presence} from {other.start_ms} to {other.end_ms} ms, which overlap."
            )
        same = last.get((mark.artifact_type, mark.presence))
        if same is None or mark.end_ms > same.end_ms:
            last[mark.artifact_type, mark.presence] = mark


def check_mark(mark: Mark, dataset: Dataset, duration_ms: int, where: str) -> None:
    """Check a mark against its recording's length and the types that its dataset defines. Raises InvalidRequest."""
    if not 1 <= len(mark.artifact_type) <= 100:
        raise InvalidRequest(f"{where}artifact_type: must have 1 to 100 characters.")
    try:
        check_text(mark.artifact_type)
    except ValueError as error:
        raise InvalidRequest(f"{where}artifact_type: {error}.") from error
    names = [defined.name for defined in dataset.artifact_types]
    if names and mark.artifact_type not in names:
        raise InvalidRequest(
            f"{where}artifact_type: {mark.artifact_type!r} is not one of the dataset's types: {', '.join(names)}."
        )
    if mark.start_ms < 0 or mark.end_ms <= mark.start_ms:
        raise InvalidRequest(f"{where}end_ms: must be after start_ms, which must not be negative.")
    if mark.end_ms > duration_ms:
        raise InvalidRequest(f"{where}end_ms: {mark.end_ms} is after the recording's end at {duration_ms}.")
