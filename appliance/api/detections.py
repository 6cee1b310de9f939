"""Detection with other settings over HTTP: to look at, or to keep."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from flask_openapi import APIBlueprint, Tag

from appliance.api import detection_schemas as schemas
from appliance.api.context import box, require_key, score_shelf, tenant_id
from appliance.api.cursors import make_cursor, read_cursor
from appliance.api.inference import render_file
from appliance.api.schemas import FilePath, InferenceFile, JobPath
from appliance.errors import InvalidRequest
from appliance.services.inference import compare, redetect
from appliance.services.inference import files as inference_files
from appliance.services.inference.compare import ComparedFile
from appliance.services.inference.kept_scores import pooled_scores, preview

blueprint = APIBlueprint(
    "detections",
    __name__,
    url_prefix="/api/v1/inference-jobs/<job_id>",
    abp_tags=[Tag(name="detections", description="Other settings on scores that are kept.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]


@blueprint.get("/files/<file_id>/detections", responses={200: schemas.PreviewedDetections})
def preview_detections(path: FilePath, query: schemas.PreviewDetections) -> Answer:
    """Get the detections of a file under other settings, from its kept scores; nothing changes."""
    changes = query.model_dump(exclude_unset=True)
    result = preview(box(), score_shelf(), tenant_id(), path.job_id, path.file_id, changes)
    return {
        "file_id": result.file.id,
        "config": result.config,
        "detection_count": len(result.detections),
        "detections": [vars(detection) for detection in result.detections],
        "detections_truncated": result.truncated,
    }, 200


@blueprint.get("/files/<file_id>/scores", responses={200: schemas.Scores})
def get_scores(path: FilePath, query: schemas.GetScores) -> Answer:
    """Get the model's scores of a stretch of a file, the greatest of each of its equal parts, from what is kept."""
    if query.start_ms >= query.end_ms:
        raise InvalidRequest("end_ms: must be after start_ms.")
    stretch = (query.start_ms, query.end_ms, query.points)
    scores = pooled_scores(box(), score_shelf(), tenant_id(), path.job_id, path.file_id, *stretch)
    return {
        "file_id": path.file_id,
        "start_ms": query.start_ms,
        "end_ms": query.end_ms,
        "labels": [
            {"artifact_type": name, "scores": np.round(values.astype(float), 4).tolist()}
            for name, values in scores.items()
        ],
    }, 200


@blueprint.post("/files/<file_id>/redetect", responses={200: InferenceFile, 202: InferenceFile})
def redetect_file(path: FilePath, body: schemas.Redetect) -> Answer:
    """Detect again in a file and keep the result: at once from its kept scores, or later with the model (202)."""
    changes = body.model_dump(exclude_unset=True, exclude={"with_model"})
    done = redetect.redetect_file(
        box(), score_shelf(), tenant_id(), path.job_id, path.file_id, changes, with_model=body.with_model
    )
    report = inference_files.get_file(box(), tenant_id(), path.job_id, path.file_id)
    return render_file(report), 200 if done else 202


@blueprint.post("/redetect", responses={202: schemas.RedetectionOfJob})
def redetect_job(path: JobPath, body: schemas.Redetect) -> Answer:
    """Detect again in all completed files of a job, and use these settings for its further files."""
    changes = body.model_dump(exclude_unset=True, exclude={"with_model"})
    count = redetect.redetect_job(box(), tenant_id(), path.job_id, changes, with_model=body.with_model)
    return {"queued_files": count}, 202


@blueprint.get("/compare", responses={200: schemas.Comparison})
def compare_jobs(path: JobPath, query: schemas.CompareJobs) -> Answer:
    """Compare a job with another one on the same recordings: what one reported and the other did not."""
    files, end = compare.compare_jobs(
        box(),
        tenant_id(),
        path.job_id,
        query.with_,
        tolerance_ms=query.tolerance_ms,
        after=read_cursor(query.cursor),
        limit=query.limit,
    )
    return {
        "files": [*map(render_compared, files)],
        "types": render_types(files),
        "next_cursor": make_cursor(end),
    }, 200


def render_compared(compared: ComparedFile) -> dict[str, Any]:
    """Return the JSON of a recording of two jobs."""
    return {
        "file_id": compared.file.id,
        "other_file_id": compared.other and compared.other.id,
        "original_filename": compared.file.original_filename,
        "duration_ms": compared.file.duration_ms,
        "here": [vars(item.detection) | {"matched": item.is_matched} for item in compared.here],
        "there": [vars(item.detection) | {"matched": item.is_matched} for item in compared.there],
    }


def render_types(files: list[ComparedFile]) -> list[dict[str, Any]]:
    """Return the JSON of the counts of each type. A recording that only one job has does not count."""
    both, here, there = Counter[str](), Counter[str](), Counter[str]()
    for compared in files:
        if compared.other is None:
            continue
        for item in compared.here:
            (both if item.is_matched else here)[item.detection.artifact_type] += 1
        there.update(item.detection.artifact_type for item in compared.there if not item.is_matched)
    return [
        {"artifact_type": name, "both": both[name], "only_here": here[name], "only_there": there[name]}
        for name in sorted({*both, *here, *there})
    ]
