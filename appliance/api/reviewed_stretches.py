"""Reviewed stretches of a dataset's audio over HTTP."""

from __future__ import annotations

from typing import Any

from flask_openapi import APIBlueprint, Tag

from appliance.api import dataset_schemas as schemas
from appliance.api.context import box, require_key, tenant_id
from appliance.rfc3339 import rfc3339
from appliance.services.datasets import reviewed_stretches as service
from appliance.state.reviewed_stretches import ReviewedStretch

blueprint = APIBlueprint(
    "reviewed_stretches",
    __name__,
    url_prefix="/api/v1/datasets/<dataset_id>/audio/<audio_id>/reviews",
    abp_tags=[Tag(name="reviewed stretches", description="Where a person listened to audio, and for which labels.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]


@blueprint.post("", responses={201: schemas.ReviewedStretch})
def review_stretch(path: schemas.AudioPath, body: schemas.ReviewStretch) -> Answer:
    """Note that a person listened to a stretch, or to all, for some labels: what is not annotated is not there."""
    stretch = service.review_stretch(
        box(), tenant_id(), path.dataset_id, path.audio_id, body.labels, body.start_ms, body.end_ms
    )
    return render_stretch(stretch), 201


@blueprint.get("", responses={200: schemas.ReviewedStretchList})
def list_reviewed_stretches(path: schemas.AudioPath) -> Answer:
    """List the reviewed stretches of a recording in order of their start."""
    stretches = service.list_stretches(box(), tenant_id(), path.dataset_id, path.audio_id)
    return {"reviews": [*map(render_stretch, stretches)]}, 200


@blueprint.delete("/<stretch_id>", responses={204: None})
def delete_reviewed_stretch(path: schemas.ReviewedStretchPath) -> tuple[str, int]:
    """Remove the note that a stretch was reviewed."""
    service.delete_stretch(box(), tenant_id(), path.dataset_id, path.audio_id, path.stretch_id)
    return "", 204


def render_stretch(stretch: ReviewedStretch) -> dict[str, Any]:
    """Return the JSON of a reviewed stretch."""
    return {
        "id": stretch.id,
        "labels": stretch.labels,
        "start_ms": stretch.start_ms,
        "end_ms": stretch.end_ms,
        "created_at": rfc3339(stretch.created_at),
    }
