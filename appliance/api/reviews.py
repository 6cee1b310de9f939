"""Reviews of detections over HTTP."""

from __future__ import annotations

from typing import Any

from flask import current_app
from flask_openapi import APIBlueprint, Tag

from appliance.api import review_schemas as schemas
from appliance.api.context import box, require_key, tenant_id
from appliance.api.cursors import make_place, read_place
from appliance.api.looking import looking
from appliance.api.schemas import FilePath, JobPath
from appliance.errors import InvalidRequest
from appliance.rfc3339 import rfc3339
from appliance.services.inference import reviews as service
from appliance.services.inference.likeness import Prints, similar
from appliance.services.inference.reviews import FileReview, LabelQuality, ReviewName
from appliance.state.reviews import NewReview, QueueFilter, QueueItem, Review

blueprint = APIBlueprint(
    "reviews",
    __name__,
    url_prefix="/api/v1/inference-jobs/<job_id>",
    abp_tags=[Tag(name="reviews", description="What people decide about detections.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]


@blueprint.put("/files/<file_id>/reviews/<review_id>", responses={200: schemas.Review})
def put_review(path: schemas.ReviewPath, body: schemas.PutReview) -> Answer:
    """Store a review under an id that the client chose; the same request again changes nothing."""
    review = NewReview(id=path.review_id, **body.model_dump())
    return render_review(service.put_review(box(), tenant_id(), path.job_id, path.file_id, review)), 200


@blueprint.delete("/files/<file_id>/reviews/<review_id>", responses={204: None})
def delete_review(path: schemas.ReviewPath) -> tuple[str, int]:
    """Delete a review: its detections are unreviewed again."""
    service.delete_review(box(), tenant_id(), path.job_id, path.file_id, path.review_id)
    return "", 204


@blueprint.get("/files/<file_id>/reviews", responses={200: schemas.ReviewList})
def list_reviews(path: FilePath) -> Answer:
    """List the reviews of a file."""
    reviews = service.list_reviews(box(), tenant_id(), path.job_id, path.file_id)
    return {"reviews": [*map(render_review, reviews)]}, 200


@blueprint.post("/reviews/batch", responses={200: schemas.ReviewBatchDone})
def put_reviews(path: JobPath, body: schemas.ReviewBatch) -> Answer:
    """Store and delete up to 1,000 reviews each, of any files of the job, at once."""
    changes = [FileReview(item.file_id, NewReview(**item.model_dump(exclude={"file_id"}))) for item in body.reviews]
    deletions = [ReviewName(item.file_id, item.id) for item in body.delete]
    service.put_reviews(box(), tenant_id(), path.job_id, changes, deletions)
    return {"stored": len(changes), "deleted": len(deletions)}, 200


@blueprint.get("/review-queue", responses={200: schemas.ReviewQueue})
def get_review_queue(path: JobPath, query: schemas.ListReviewQueue) -> Answer:
    """List the detections of a job for a reviewer, with what was decided."""
    chosen = QueueFilter(query.state, query.type, query.file_id, query.min_confidence, query.max_confidence)
    page = service.review_queue(
        box(),
        tenant_id(),
        path.job_id,
        chosen,
        order=query.order,
        after=read_place(query.cursor, 2 if query.order == "time" else 3),
        limit=query.limit,
    )
    return {
        "items": [*map(render_item, page.items)],
        "next_cursor": make_place(page.after),
        "counts": page.counts,
        "progress": page.progress,
    }, 200


@blueprint.get("/similar-detections", responses={200: schemas.SimilarDetections})
def list_similar(path: JobPath, query: schemas.ListSimilar) -> Answer:
    """List the detections of a job that sound like a stretch of a file; 503 while their sounds are first compared."""
    if query.start_ms >= query.end_ms:
        raise InvalidRequest("end_ms: must be after start_ms.")
    prints: Prints = current_app.extensions["prints"]
    wanted = (query.file_id, query.start_ms, query.end_ms)
    chosen = QueueFilter(query.state, query.type)
    alike, compared = similar(looking(), prints, tenant_id(), path.job_id, wanted, chosen, query.min_similarity)
    items = [render_item(one.item) | {"similarity": round(one.similarity, 4)} for one in alike]
    return {"items": items, "compared": compared}, 200


@blueprint.get("/review-summary", responses={200: schemas.ReviewSummary})
def get_review_summary(path: JobPath, query: schemas.GetReviewSummary) -> Answer:
    """Get the precision of each type by the reviews, with its interval and a suggested threshold."""
    labels = service.quality(box(), tenant_id(), path.job_id, query.target_precision)
    return {"target_precision": query.target_precision, "labels": [*map(render_quality, labels)]}, 200


def render_review(review: Review) -> dict[str, Any]:
    """Return the JSON of a review."""
    fields = {name: getattr(review, name) for name in schemas.Review.model_fields}
    return fields | {"created_at": rfc3339(review.created_at), "updated_at": rfc3339(review.updated_at)}


def render_item(item: QueueItem) -> dict[str, Any]:
    """Return the JSON of a detection in the queue."""
    return {
        "file_id": item.file_id,
        "original_filename": item.original_filename,
        "duration_ms": item.duration_ms,
        "detection": vars(item.detection),
        "review": None if item.review is None else render_review(item.review),
    }


def render_quality(label: LabelQuality) -> dict[str, Any]:
    """Return the JSON of a type's quality."""
    low, high = label.interval or (None, None)
    return {
        "artifact_type": label.artifact_type,
        "counts": label.counts,
        "missed": label.missed,
        "precision": label.precision,
        "precision_low": low,
        "precision_high": high,
        "suggested_threshold": label.threshold,
        "kept_confirmed": label.kept,
    }
