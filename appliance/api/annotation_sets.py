"""Annotation sets of a dataset over HTTP: drafts, published versions and their annotations."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_openapi import APIBlueprint, Tag

from appliance.api import dataset_schemas as schemas
from appliance.api.context import box, require_key, tenant_id
from appliance.api.pages import page_answer, read_page
from appliance.frontdoor.paths import BULK_BYTES
from appliance.rfc3339 import rfc3339
from appliance.services.datasets import annotation_sets as service
from appliance.services.datasets.annotation_sets import NewAnnotation, SetPath
from appliance.services.datasets.detections import annotate_from_detections
from appliance.services.datasets.reviewed import annotate_from_reviews
from appliance.state.annotation_sets import AnnotationSet, SetAnnotation

blueprint = APIBlueprint(
    "annotation_sets",
    __name__,
    url_prefix="/api/v1/datasets/<dataset_id>/annotation-sets",
    abp_tags=[Tag(name="annotation sets", description="Versions of a dataset's annotations.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]


@blueprint.before_request
def allow_bulk() -> None:
    """Allow a larger body on the bulk route, before the body is read."""
    if request.endpoint == "annotation_sets.create_annotations":
        request.max_content_length = BULK_BYTES


@blueprint.post("", responses={201: schemas.AnnotationSet})
def create_annotation_set(path: schemas.DatasetPath) -> Answer:
    """Create an annotation set: an empty draft with the next version."""
    return render_set(service.create_set(box(), tenant_id(), path.dataset_id)), 201


@blueprint.get("", responses={200: schemas.AnnotationSetPage})
def list_annotation_sets(path: schemas.DatasetPath, query: schemas.ListAnnotationSets) -> Answer:
    """List a dataset's annotation sets in order of their version."""
    window = read_page(query)
    rows, next_place = service.list_sets(
        box(),
        tenant_id(),
        path.dataset_id,
        status=query.status,
        after=window.place,
        limit=window.limit,
        offset=window.offset,
    )

    def count() -> int:
        return service.count_sets(box(), tenant_id(), path.dataset_id, query.status)

    return page_answer(("items",), [*map(render_set, rows)], window, next_place, count), 200


@blueprint.get("/<set_id>", responses={200: schemas.AnnotationSet})
def get_annotation_set(path: schemas.AnnotationSetPath) -> Answer:
    """Get an annotation set."""
    return render_set(service.find_set(box(), set_path(path))), 200


@blueprint.post("/<set_id>/publish", responses={200: schemas.AnnotationSet})
def publish_annotation_set(path: schemas.AnnotationSetPath) -> Answer:
    """Publish a draft, which never changes again."""
    return render_set(service.publish_set(box(), set_path(path))), 200


@blueprint.post("/<set_id>/annotations", responses={201: schemas.SetAnnotation})
def create_set_annotation(path: schemas.AnnotationSetPath, body: schemas.CreateSetAnnotation) -> Answer:
    """Add an annotation to a draft."""
    (annotation,) = service.add_annotations(box(), set_path(path), [new_annotation(body)])
    return render_annotation(annotation), 201


@blueprint.post("/<set_id>/annotations/bulk", responses={201: schemas.SetAnnotationList})
def create_annotations(path: schemas.AnnotationSetPath, body: schemas.CreateSetAnnotations) -> Answer:
    """Add up to 10,000 annotations to a draft: all of them, or none."""
    annotations = service.add_annotations(box(), set_path(path), [*map(new_annotation, body.annotations)])
    return render_list(annotations), 201


@blueprint.post("/<set_id>/annotations/from-detections", responses={201: schemas.SetAnnotationList})
def create_annotations_from_detections(path: schemas.AnnotationSetPath, body: schemas.AnnotateFromDetections) -> Answer:
    """Copy the detections of an inference file into a draft, as annotations of the same recording."""
    annotations = annotate_from_detections(
        box(),
        set_path(path),
        audio_id=body.audio_file_id,
        job_id=body.job_id,
        file_id=body.file_id,
        threshold=body.threshold,
        artifact_types=body.artifact_types,
    )
    return render_list(annotations), 201


@blueprint.post("/<set_id>/annotations/from-reviews", responses={201: schemas.AnnotationsAdded})
def create_annotations_from_reviews(path: schemas.AnnotationSetPath, body: schemas.AnnotateFromReviews) -> Answer:
    """Add the confirmed reviews of an inference job to a draft, as annotations of the same recordings."""
    pairs = None if body.recordings is None else {pair.file_id: pair.audio_file_id for pair in body.recordings}
    added = annotate_from_reviews(box(), set_path(path), body.job_id, pairs)
    return {
        "created": added.created,
        "already_present": added.present,
        "unmatched_file_ids": added.unmatched_file_ids,
    }, 201


@blueprint.get("/<set_id>/annotations", responses={200: schemas.SetAnnotationPage})
def list_set_annotations(path: schemas.AnnotationSetPath, query: schemas.ListSetAnnotations) -> Answer:
    """List a set's annotations, oldest first."""
    window = read_page(query)
    filters = {"audio_id": query.audio_file_id, "artifact_type": query.artifact_type}
    rows, next_place = service.list_annotations(
        box(), set_path(path), **filters, after=window.place, limit=window.limit, offset=window.offset
    )

    def count() -> int:
        return service.count_annotations(box(), set_path(path), **filters)

    return page_answer(("items",), [*map(render_annotation, rows)], window, next_place, count), 200


@blueprint.patch("/<set_id>/annotations/<annotation_id>", responses={200: schemas.SetAnnotation})
def change_set_annotation(path: schemas.SetAnnotationPath, body: schemas.ChangeSetAnnotation) -> Answer:
    """Change an annotation of a draft."""
    changes = body.model_dump(exclude_none=True)
    if "audio_file_id" in changes:
        changes["audio_id"] = changes.pop("audio_file_id")
    annotation = service.change_annotation(box(), set_path(path), path.annotation_id, changes)
    return render_annotation(annotation), 200


@blueprint.delete("/<set_id>/annotations/<annotation_id>", responses={204: None})
def delete_set_annotation(path: schemas.SetAnnotationPath) -> tuple[str, int]:
    """Remove an annotation from a draft."""
    service.delete_annotation(box(), set_path(path), path.annotation_id)
    return "", 204


def set_path(path: schemas.AnnotationSetPath) -> SetPath:
    """Return the path of a set of the client's tenant."""
    return SetPath(tenant_id(), path.dataset_id, path.set_id)


def new_annotation(body: schemas.CreateSetAnnotation) -> NewAnnotation:
    """Return the annotation that a body describes."""
    return NewAnnotation(body.audio_file_id, body.artifact_type, body.start_ms, body.end_ms, body.confidence)


def render_set(annotation_set: AnnotationSet) -> dict[str, Any]:
    """Return the JSON of an annotation set."""
    published = annotation_set.status == "published"
    return {
        "id": annotation_set.id,
        "dataset_id": annotation_set.dataset_id,
        "version": annotation_set.version,
        "status": annotation_set.status,
        "total_annotations": annotation_set.num_annotations,
        "created_at": rfc3339(annotation_set.created_at),
        "updated_at": rfc3339(annotation_set.updated_at),
        "published_at": rfc3339(annotation_set.updated_at) if published else None,
    }


def render_annotation(annotation: SetAnnotation) -> dict[str, Any]:
    """Return the JSON of an annotation in a set."""
    return {
        "id": annotation.id,
        "annotation_set_id": annotation.set_id,
        "audio_file_id": annotation.audio_id,
        "artifact_type": annotation.artifact_type,
        "start_ms": annotation.start_ms,
        "end_ms": annotation.end_ms,
        "confidence": annotation.confidence,
        "created_at": rfc3339(annotation.created_at),
    }


def render_list(annotations: list[SetAnnotation]) -> dict[str, Any]:
    """Return the JSON of stored annotations."""
    return {"annotations": [*map(render_annotation, annotations)], "created": len(annotations)}
