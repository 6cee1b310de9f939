"""What training learns from, beside annotations that people make one by one: reviews, and what to listen to next."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask_openapi import APIBlueprint, Tag

from appliance.api import training_schemas as schemas
from appliance.api.context import box, require_key, score_shelf, tenant_id
from appliance.api.dataset_schemas import AnnotateFromReviews, DatasetPath
from appliance.services.training import evaluation, suggestions
from appliance.services.training.from_reviews import learn_from_reviews as learn

blueprint = APIBlueprint(
    "training_data",
    __name__,
    url_prefix="/api/v1/datasets/<dataset_id>",
    abp_tags=[Tag(name="training", description="Detectors made from annotations of datasets.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]


@blueprint.post("/annotations/from-reviews", responses={201: schemas.Learned})
def learn_from_reviews(path: DatasetPath, body: AnnotateFromReviews) -> Answer:
    """Add what the reviews of a job say: confirmed detections as present, rejected ones as absent."""
    pairs = None if body.recordings is None else {pair.file_id: pair.audio_file_id for pair in body.recordings}
    learned = learn(box(), tenant_id(), path.dataset_id, body.job_id, pairs)
    return {
        "created": learned.created,
        "already_present": learned.present,
        "undefined": learned.undefined,
        "unmatched_file_ids": learned.unmatched_file_ids,
    }, 201


@blueprint.get("/evaluation", responses={200: schemas.Evaluation})
def evaluate(path: DatasetPath, query: schemas.Evaluate) -> Answer:
    """Compare the detections of a job, or of two side by side, with what people annotated in the same recordings."""
    job_ids = [query.job_id, *([query.with_] if query.with_ else [])]
    compared = evaluation.evaluate(box(), tenant_id(), path.dataset_id, job_ids, query.differences)
    return asdict(compared), 200


@blueprint.get("/suggestions", responses={200: schemas.SuggestionList})
def suggest(path: DatasetPath, query: schemas.Suggest) -> Answer:
    """Say what to listen to next for a label: half where a model is the surest of it, half where it is the least."""
    stretches = suggestions.suggest(
        box(), score_shelf(), tenant_id(), path.dataset_id, query.job_id, query.label, query.k
    )
    return {"suggestions": [asdict(suggestion) for suggestion in stretches]}, 200
