"""Annotations from reviews: what people confirmed in a job becomes part of a dataset's annotation set."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.errors import InvalidRequest, NotFound
from appliance.services.box import Box
from appliance.services.datasets.annotation_sets import NewAnnotation, SetPath, check_annotations, find_draft
from appliance.services.datasets.datasets import find_dataset
from appliance.state import annotation_sets as set_rows
from appliance.state import inference_jobs
from appliance.state import reviews as review_rows
from appliance.state.database import Reader

MAX_ANNOTATIONS = 10_000  # of one call


@dataclass(frozen=True)
class Added:
    """How many annotations were added, how many were there already, and the files whose recording is not known."""

    created: int
    present: int
    unmatched_file_ids: list[str]


def annotate_from_reviews(
    box: Box, path: SetPath, job_id: str, audio_of_file: Mapping[str, str] | None = None
) -> Added:
    """Add the confirmed reviews of a job to a draft, with the types and edges that the reviewers stated: all, or none.

    ``audio_of_file`` says which audio of the dataset a file is. Without it, that is audio with the same name, size and
    length. What the draft already has is not added twice. Raises NotFound, Conflict for a published set, NotReady, and
    InvalidRequest if there are too many, if one ends after its recording, or if the dataset does not define a type.
    """
    with box.db.transaction() as tx:
        dataset = find_dataset(box, path.tenant_id, path.dataset_id)
        find_draft(box, path)
        require_job(tx, path.tenant_id, job_id)
        pairs = review_rows.pair_with_audio(tx, job_id, path.dataset_id) if audio_of_file is None else audio_of_file
        wanted: dict[NewAnnotation, None] = {}
        unmatched: list[str] = []
        for file_id, reviews in review_rows.list_of_job(tx, job_id, "confirmed").items():
            if file_id not in pairs:
                unmatched.append(file_id)
                continue
            wanted |= dict.fromkeys(NewAnnotation(pairs[file_id], *review.event) for review in reviews)
        stored = set_rows.list_annotations(
            tx, path.set_id, audio_id=None, artifact_type=None, after=None, limit=-1, offset=0
        )
        known = {(a.audio_id, a.artifact_type, a.start_ms, a.end_ms) for a in stored}
        new = [a for a in wanted if (a.audio_id, a.artifact_type, a.start_ms, a.end_ms) not in known]
        if len(new) > MAX_ANNOTATIONS:
            raise InvalidRequest(f"job_id: {len(new):,} annotations are over the limit of {MAX_ANNOTATIONS:,}.")
        check_annotations(tx, dataset, new)
        rows = ((str(uuid.uuid4()), a.audio_id, a.artifact_type, a.start_ms, a.end_ms, a.confidence) for a in new)
        set_rows.insert_annotations(tx, path.set_id, rows)
        return Added(len(new), len(wanted) - len(new), unmatched)


def require_job(db: Reader, tenant_id: int, job_id: str) -> None:
    """Raise NotFound if the tenant has no such inference job."""
    job = inference_jobs.get_settings(db, job_id)
    if job is None or job.tenant_id != tenant_id:
        raise NotFound("job_id: There is no such inference job.")
