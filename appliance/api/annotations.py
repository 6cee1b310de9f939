"""Annotations of a dataset's audio over HTTP."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_openapi import APIBlueprint, Tag

from appliance.api import dataset_schemas as schemas
from appliance.api.context import box, require_key, tenant_id
from appliance.api.pages import page_answer, read_page
from appliance.errors import InvalidRequest
from appliance.rfc3339 import rfc3339
from appliance.services.datasets import annotations as service
from appliance.services.datasets.annotations import Mark
from appliance.state.annotations import Annotation

blueprint = APIBlueprint(
    "annotations",
    __name__,
    url_prefix="/api/v1/datasets/<dataset_id>/audio/<audio_id>/annotations",
    abp_tags=[Tag(name="annotations", description="Labeled stretches of recordings.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]

READERS = {"jsonl": service.from_json_lines, "audacity": service.from_audacity}
WRITERS = {"jsonl": service.to_json_lines, "audacity": service.to_audacity}
MEDIA_TYPES = {"jsonl": "application/x-ndjson", "audacity": "text/plain"}
EXPORTS = {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()}


@blueprint.post("", responses={201: schemas.Annotation})
def create_annotation(path: schemas.AudioPath, body: schemas.CreateRecordingAnnotation) -> Answer:
    """Annotate a stretch of a recording."""
    mark = Mark(body.artifact_type, body.start_ms, body.end_ms, body.presence)
    (annotation,) = service.add_annotations(box(), tenant_id(), path.dataset_id, path.audio_id, [mark])
    return render_annotation(annotation), 201


@blueprint.post("/import", responses={201: schemas.AnnotationList}, request_body={"content": EXPORTS})
def import_annotations(path: schemas.AudioPath, query: schemas.AnnotationFormat) -> Answer:
    """Store all annotations of a file, or none; the body is the file's text."""
    try:
        text = request.get_data().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest("The body must be text in UTF-8.") from error
    marks = READERS[query.format](text)
    annotations = service.add_annotations(box(), tenant_id(), path.dataset_id, path.audio_id, marks)
    return {"annotations": [render_annotation(annotation) for annotation in annotations]}, 201


@blueprint.get("", responses={200: schemas.AnnotationPage})
def list_annotations(path: schemas.AudioPath, query: schemas.ListAnnotations) -> Answer:
    """List a recording's annotations in order of their start."""
    window = read_page(query)
    # The order is that of their start, not that of their making, so the cursor counts rows.
    start = window.place or window.offset
    rows = service.list_annotations(
        box(), tenant_id(), path.dataset_id, path.audio_id, limit=window.limit + 1, offset=start
    )
    page = [*map(render_annotation, rows[: window.limit])]
    next_place = start + window.limit if len(rows) > window.limit else None

    def count() -> int:
        return service.count_annotations(box(), tenant_id(), path.dataset_id, path.audio_id)

    return page_answer(("annotations", "items"), page, window, next_place, count), 200


@blueprint.get("/export", responses={200: {"content": EXPORTS}})
def export_annotations(path: schemas.AudioPath, query: schemas.AnnotationFormat) -> Response:
    """Export a recording's annotations as JSON lines or as an Audacity label track."""
    annotations = service.list_annotations(box(), tenant_id(), path.dataset_id, path.audio_id)
    return Response(WRITERS[query.format](annotations), mimetype=MEDIA_TYPES[query.format])


@blueprint.delete("/<annotation_id>", responses={204: None})
def delete_annotation(path: schemas.AnnotationPath) -> tuple[str, int]:
    """Remove an annotation."""
    service.delete_annotation(box(), tenant_id(), path.dataset_id, path.audio_id, path.annotation_id)
    return "", 204


def render_annotation(annotation: Annotation) -> dict[str, Any]:
    """Return the JSON of an annotation."""
    return {
        "id": annotation.id,
        "artifact_type": annotation.artifact_type,
        "start_ms": annotation.start_ms,
        "end_ms": annotation.end_ms,
        "presence": annotation.presence,
        "created_at": rfc3339(annotation.created_at),
    }
