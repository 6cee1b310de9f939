"""The annotations that a training learns from, frozen when it is requested: one JSON line for each recording.

Only recordings of which somebody said something about one of the labels are in it. The annotations of a recording come
first, then the annotation sets in the order in which they are named: what a set says of a stretch about which one
before it says something is left out.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass

from appliance.engine.training.intervals import Interval, union
from appliance.engine.training.request import Stretch
from appliance.state import annotation_sets as set_rows
from appliance.state import annotations as annotation_rows
from appliance.state import audio, reviewed_stretches
from appliance.state.annotation_sets import SetAnnotation
from appliance.state.audio import Audio
from appliance.state.database import Reader

SURE = 0.5  # an annotation of a set with less confidence is unsure


@dataclass(frozen=True)
class Heard:
    """A recording and what people said of it; each stretch is a label, a start and an end in milliseconds."""

    audio_id: str
    dataset_id: str
    sha256: str
    group: str
    duration_ms: int
    held_out: bool | None  # None: the training decides, by group
    events: list[Stretch]
    absents: list[Stretch]
    unsures: list[Stretch]
    reviewed: list[Stretch]


def gather(
    db: Reader,
    dataset_ids: Iterable[str],
    labels: Collection[str],
    *,
    held_out: bool | None,
    set_ids: Sequence[str] = (),
) -> list[Heard]:
    """Return what people said about these labels in the ready recordings of these datasets, oldest first.

    ``set_ids`` are the annotation sets to read too.
    """
    of_sets: dict[str, dict[str, list[SetAnnotation]]] = {}  # by recording, then by set
    for set_id in set_ids:
        rows = set_rows.list_annotations(db, set_id, audio_id=None, artifact_type=None, after=None, limit=-1, offset=0)
        for row in rows:
            of_sets.setdefault(row.audio_id, {}).setdefault(set_id, []).append(row)
    recordings = []
    for dataset_id in dataset_ids:
        for recording in reversed(audio.list_audio(db, dataset_id, status="ready")):
            heard = _heard(db, recording, labels, held_out, of_sets.get(recording.id, {}).values())
            if heard.events or heard.absents or heard.unsures or heard.reviewed:
                recordings.append(heard)
    return recordings


def freeze(recordings: Iterable[Heard]) -> tuple[bytes, str]:
    """Return the recordings as compressed JSON lines, and the SHA-256 of the lines."""
    text = "".join(f"{json.dumps(asdict(recording), ensure_ascii=False)}\n" for recording in recordings).encode()
    return zlib.compress(text), hashlib.sha256(text).hexdigest()


def thaw(frozen: bytes) -> list[Heard]:
    """Return the recordings that ``freeze`` wrote."""
    return [_read(json.loads(line)) for line in zlib.decompress(frozen).decode().split("\n") if line]


def _heard(
    db: Reader,
    recording: Audio,
    labels: Collection[str],
    held_out: bool | None,
    sets: Iterable[Sequence[SetAnnotation]],
) -> Heard:
    said: dict[str, list[Stretch]] = {"present": [], "absent": [], "unsure": []}
    for mark in annotation_rows.list_annotations(db, recording.id):
        if mark.artifact_type in labels:
            said[mark.presence].append(Stretch(mark.artifact_type, mark.start_ms, mark.end_ms))
    for rows in sets:
        is_known = _overlapping([stretch for stretches in said.values() for stretch in stretches])
        for row in rows:
            stretch = Stretch(row.artifact_type, row.start_ms, row.end_ms)
            if row.artifact_type in labels and not is_known(stretch):
                said["present" if row.confidence >= SURE else "unsure"].append(stretch)
    return Heard(
        audio_id=recording.id,
        dataset_id=recording.dataset_id,
        sha256=recording.sha256 or "",
        group=recording.group_name or recording.id,
        duration_ms=recording.duration_ms or 0,
        held_out=held_out,
        events=said["present"],
        absents=said["absent"],
        unsures=said["unsure"],
        reviewed=[
            Stretch(label, stretch.start_ms, stretch.end_ms)
            for stretch in reviewed_stretches.list_stretches(db, recording.id)
            for label in stretch.labels
            if label in labels
        ],
    )


def _overlapping(stretches: Iterable[Stretch]) -> Callable[[Stretch], bool]:
    """Return what says whether a stretch overlaps one of these that has the same label."""
    by_label: dict[str, list[Interval]] = {}
    for stretch in stretches:
        by_label.setdefault(stretch.label, []).append((stretch.start_ms, stretch.end_ms))
    unions = {label: union(intervals) for label, intervals in by_label.items()}

    def overlaps(stretch: Stretch) -> bool:
        known = unions.get(stretch.label, [])
        before = bisect_left(known, (stretch.end_ms,))  # so many begin before it ends, and the last ends last
        return before > 0 and known[before - 1][1] > stretch.start_ms

    return overlaps


def _read(row: dict[str, object]) -> Heard:
    spans = {
        name: [Stretch(**span) for span in row[name]]  # type: ignore[attr-defined]
        for name in ("events", "absents", "unsures", "reviewed")
    }
    return Heard(**row | spans)  # type: ignore[arg-type]
