"""What people decided about a job's detections becomes what training knows of the recordings.

A confirmed detection says that its label is there, with the type and the edges that the reviewer gave. A rejected one
says that its label is absent, and so does one that the reviewer gave another type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from appliance.errors import AnnotationRefused
from appliance.services.box import Box
from appliance.services.datasets.annotations import Mark, add_annotations
from appliance.services.datasets.audio import find_audio
from appliance.services.datasets.datasets import find_dataset
from appliance.services.datasets.reviewed import require_job
from appliance.state import annotations as annotation_rows
from appliance.state import reviews as review_rows
from appliance.state.reviews import Review


@dataclass(frozen=True)
class Learned:
    """How many annotations were added, were there, or have a type that the dataset does not define."""

    created: int
    present: int
    undefined: int
    unmatched_file_ids: list[str]


def learn_from_reviews(
    box: Box, tenant_id: int, dataset_id: str, job_id: str, audio_of_file: Mapping[str, str] | None = None
) -> Learned:
    """Add what the reviews of a job say to the annotations of the dataset's recordings.

    ``audio_of_file`` says which audio a file is. Without it, that is audio with the same name, size and length. What is
    there already is not added again. Each recording gets all of its annotations or none. Raises NotFound, NotReady,
    InvalidRequest, Conflict, and AnnotationRefused with the recording if a label would be both present and absent.
    """
    types = {artifact_type.name for artifact_type in find_dataset(box, tenant_id, dataset_id).artifact_types}
    require_job(box.db, tenant_id, job_id)
    pairs = review_rows.pair_with_audio(box.db, job_id, dataset_id) if audio_of_file is None else audio_of_file
    created = present = undefined = 0
    unmatched = []
    for file_id, reviews in review_rows.list_of_job(box.db, job_id).items():
        if file_id not in pairs:
            unmatched.append(file_id)
            continue
        recording = find_audio(box, tenant_id, dataset_id, pairs[file_id])
        wanted = dict.fromkeys(_marks(reviews, recording.duration_ms or 0))
        defined = [mark for mark in wanted if not types or mark.artifact_type in types]
        known = {
            (a.artifact_type, a.start_ms, a.end_ms, a.presence)
            for a in annotation_rows.list_annotations(box.db, recording.id)
        }
        new = [m for m in defined if (m.artifact_type, m.start_ms, m.end_ms, m.presence) not in known]
        try:
            add_annotations(box, tenant_id, dataset_id, recording.id, new)
        except AnnotationRefused as error:
            raise AnnotationRefused(f"The recording {recording.id}: {error}") from error
        created += len(new)
        present += len(defined) - len(new)
        undefined += len(wanted) - len(defined)
    return Learned(created, present, undefined, unmatched)


def _marks(reviews: Iterable[Review], duration_ms: int) -> Iterable[Mark]:
    """Yield what reviews say, within the recording, whose length may differ by a millisecond from the file's."""
    for review in reviews:
        label, start_ms, end_ms = review.event
        if review.verdict == "confirmed":
            yield Mark(label, min(start_ms, duration_ms - 1), min(end_ms, duration_ms))
        if review.verdict == "rejected" or label != review.artifact_type:
            start_ms, end_ms = min(review.start_ms, duration_ms - 1), min(review.end_ms, duration_ms)
            yield Mark(review.artifact_type, start_ms, end_ms, "absent")
