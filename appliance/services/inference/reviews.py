"""Reviews of a job's detections: decide, undo, see what is left, and how good the model is by what was decided."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.errors import Conflict, InvalidRequest, NotFound, NotReady
from appliance.services.box import Box
from appliance.services.inference.files import find_file
from appliance.services.inference.jobs import find_settings
from appliance.services.inference.verdicts import judge
from appliance.state import redetections
from appliance.state import reviews as review_rows
from appliance.state.database import Transaction
from appliance.state.inference_files import InferenceFile
from appliance.state.reviews import NewReview, QueueFilter, QueueItem, QueueOrder, Review

MAX_OF_FILE = 20_000
Z = 1.959964  # of the normal distribution, for an interval of 95 %


@dataclass(frozen=True)
class FileReview:
    """A review of a file, to be stored."""

    file_id: str
    review: NewReview


@dataclass(frozen=True)
class ReviewName:
    """A review of a file, by its id."""

    file_id: str
    id: str


@dataclass(frozen=True)
class QueuePage:
    """A page of the review queue. ``after`` is the place of its last item, None if no page follows.

    ``counts`` has how many detections of the job the filter chooses, ``progress`` how many there are without a filter:
    in all, and by the state of their review.
    """

    items: list[QueueItem]
    after: tuple[float | int, ...] | None
    counts: dict[str, int]
    progress: dict[str, int]


@dataclass(frozen=True)
class LabelQuality:
    """How often detections of a type were right, by the reviews of a job.

    ``interval`` is Wilson's of 95 %. ``threshold`` is the lowest confidence at and above which the reviewed ones reach
    the target, None if none does; ``kept`` says how many of the right ones are there. ``missed`` counts confirmed
    reviews that no detection matches.
    """

    artifact_type: str
    counts: dict[str, int]
    missed: int
    precision: float | None
    interval: tuple[float, float] | None
    threshold: float | None
    kept: int


def put_review(box: Box, tenant_id: int, job_id: str, file_id: str, review: NewReview) -> Review:
    """Store a review in place of the one that has its id. Raises as ``put_reviews``."""
    put_reviews(box, tenant_id, job_id, [FileReview(file_id, review)], [])
    stored = review_rows.get(box.db, file_id, review.id)
    if stored is None:
        raise NotFound("The review was deleted at this moment.")
    return stored


def put_reviews(
    box: Box, tenant_id: int, job_id: str, changes: Sequence[FileReview], deletions: Iterable[ReviewName]
) -> None:
    """Store reviews and delete others: all of it, or nothing. A deletion of what is not there does nothing.

    Raises NotFound, NotReady for a file that is not completed, InvalidRequest with the number of the invalid review,
    Conflict if a file would have too many.
    """
    find_settings(box, tenant_id, job_id)
    with box.db.transaction() as tx:
        stretches: dict[str, list[tuple[int, int]]] = {}
        files: dict[str, InferenceFile] = {}
        for name in deletions:
            files[name.file_id] = find_file(box, job_id, name.file_id)
            stretches.setdefault(name.file_id, []).extend(_stretch_of(tx, name.file_id, name.id))
            review_rows.delete(tx, name.file_id, name.id)
        for number, change in enumerate(changes, 1):
            file, review = find_file(box, job_id, change.file_id), change.review
            _check(file, review, f"review {number}: " if len(changes) > 1 else "")
            files[file.id] = file
            stretches.setdefault(file.id, []).extend(_stretch_of(tx, file.id, review.id))
            stretches[file.id].append((review.start_ms, review.end_ms))
            review_rows.put(tx, file.id, review)
        for file_id, changed in stretches.items():
            if review_rows.count_of_file(tx, file_id) > MAX_OF_FILE:
                raise Conflict(f"The file {file_id} would have more than {MAX_OF_FILE:,} reviews.")
            if changed:
                reviews_changed(tx, files[file_id], min(start for start, _ in changed), max(end for _, end in changed))


def reviews_changed(tx: Transaction, file: InferenceFile, start_ms: int = 0, end_ms: int | None = None) -> None:
    """Bring what follows from a file's reviews up to date. They or the detections changed in a stretch of it."""
    review_rows.rematch(tx, file.id, start_ms, end_ms)
    redetections.touch_file(tx, file.id)
    judge(tx, file.id)


def delete_review(box: Box, tenant_id: int, job_id: str, file_id: str, review_id: str) -> None:
    """Remove a review. Raises NotFound."""
    find_settings(box, tenant_id, job_id)
    find_file(box, job_id, file_id)
    if review_rows.get(box.db, file_id, review_id) is None:
        raise NotFound("There is no such review of this file.")
    put_reviews(box, tenant_id, job_id, [], [ReviewName(file_id, review_id)])


def list_reviews(box: Box, tenant_id: int, job_id: str, file_id: str) -> list[Review]:
    """Return the reviews of a file in order of their start. Raises NotFound."""
    find_settings(box, tenant_id, job_id)
    return review_rows.list_of_file(box.db, find_file(box, job_id, file_id).id)


def review_queue(
    box: Box,
    tenant_id: int,
    job_id: str,
    chosen: QueueFilter,
    *,
    order: QueueOrder,
    after: Sequence[float | int] | None,
    limit: int,
) -> QueuePage:
    """Return a page of a job's detections. Raises NotFound."""
    find_settings(box, tenant_id, job_id)
    rows = review_rows.list_queue(box.db, job_id, chosen, order=order, after=after, limit=limit + 1)
    items = rows[:limit]
    progress = review_rows.count_queue(box.db, job_id, QueueFilter())
    counts = progress if chosen == QueueFilter() else review_rows.count_queue(box.db, job_id, chosen)
    return QueuePage(items, items[-1].place if len(rows) > limit else None, counts, progress)


def quality(box: Box, tenant_id: int, job_id: str, target: float) -> list[LabelQuality]:
    """Return how good the model is for each type that it reported in a job. Raises NotFound.

    A detection is right if a review confirms it with its type. ``target`` is the precision that a suggested threshold
    must reach.
    """
    find_settings(box, tenant_id, job_id)
    judged: dict[str, list[tuple[float, bool]]] = {}
    for artifact_type, confidence, is_right in review_rows.list_judged(box.db, job_id):
        judged.setdefault(artifact_type, []).append((confidence, is_right))
    by_type, missed = review_rows.count_by_type(box.db, job_id), review_rows.count_unmatched(box.db, job_id)
    nothing = dict.fromkeys(("total", "unreviewed", "reviewed", "confirmed", "relabelled", "rejected"), 0)
    qualities = []
    for artifact_type in sorted({*by_type, *missed}):
        cases = judged.get(artifact_type, [])
        num_right = sum(is_right for _, is_right in cases)
        threshold, kept = suggest_threshold(cases, target)
        qualities.append(
            LabelQuality(
                artifact_type,
                by_type.get(artifact_type, nothing),
                missed.get(artifact_type, 0),
                num_right / len(cases) if cases else None,
                wilson(num_right, len(cases)) if cases else None,
                threshold,
                kept,
            )
        )
    return qualities


def wilson(num_right: int, total: int) -> tuple[float, float]:
    """Return Wilson's score interval of 95 % for a share of ``total``, which is at least 1."""
    share = num_right / total
    middle = share + Z**2 / (2 * total)
    half = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    whole = 1 + Z**2 / total
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def suggest_threshold(cases: Sequence[tuple[float, bool]], target: float) -> tuple[float | None, int]:
    """Return the lowest confidence at and above which a share of ``target`` is right, and the number of right ones.

    cases : confidence and whether it was right, the most confident first. Returns None and 0 if no threshold does.
    """
    best: tuple[float | None, int] = (None, 0)
    num_right = 0
    for number, (confidence, is_right) in enumerate(cases, 1):
        num_right += is_right
        is_last_of_its_confidence = number == len(cases) or cases[number][0] < confidence
        if is_last_of_its_confidence and num_right >= target * number:
            best = (confidence, num_right)
    return best


def _stretch_of(tx: Transaction, file_id: str, review_id: str) -> list[tuple[int, int]]:
    old = review_rows.get(tx, file_id, review_id)
    return [] if old is None else [(old.start_ms, old.end_ms)]


def _check(file: InferenceFile, review: NewReview, where: str) -> None:
    if file.status != "completed" or file.duration_ms is None:
        raise NotReady(f"{where}The file is {file.status}; only a completed one can be reviewed.")
    spans = [("", review.start_ms, review.end_ms)]
    if review.reviewed_start_ms is not None or review.reviewed_end_ms is not None:
        if review.reviewed_start_ms is None or review.reviewed_end_ms is None:
            raise InvalidRequest(f"{where}reviewed_start_ms and reviewed_end_ms must be set together.")
        spans.append(("reviewed_", review.reviewed_start_ms, review.reviewed_end_ms))
    for prefix, start_ms, end_ms in spans:
        if start_ms < 0:
            raise InvalidRequest(f"{where}{prefix}start_ms: must be at least 0.")
        if not start_ms < end_ms <= file.duration_ms:
            raise InvalidRequest(
                f"{where}{prefix}end_ms: must be after {prefix}start_ms and at most {file.duration_ms}, the file's end."
            )
    if review.verdict == "rejected" and (review.reviewed_type or len(spans) > 1):
        raise InvalidRequest(f"{where}verdict: a rejected detection has no reviewed_ fields; confirm it to correct it.")
