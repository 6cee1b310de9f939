"""Training jobs over HTTP."""

from __future__ import annotations

from typing import Any

from flask_openapi import APIBlueprint, Tag

from appliance.api import training_schemas as schemas
from appliance.api.context import box, require_key, tenant_id
from appliance.api.pages import page_answer, read_page
from appliance.rfc3339 import rfc3339
from appliance.services.training import jobs
from appliance.services.training.jobs import TrainingChoices, TrainingReport

blueprint = APIBlueprint(
    "training",
    __name__,
    url_prefix="/api/v1/training-jobs",
    abp_tags=[Tag(name="training", description="Detectors made from annotations of datasets.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]


@blueprint.post("", responses={202: schemas.TrainingJob, 200: schemas.TrainingPlan})
def create_training_job(query: schemas.DryRun, body: schemas.CreateTrainingJob) -> Answer:
    """Train a detector. With `dry_run`, say what would be refused, and start nothing."""
    choices = _choices(body)
    if query.dry_run:
        plan = jobs.plan(box(), tenant_id(), choices)
        return {"refusals": plan.refusals, "warnings": plan.warnings, "counts": plan.counts}, 200
    return render_job(jobs.create_job(box(), tenant_id(), choices, body.callback_url)), 202


@blueprint.get("", responses={200: schemas.TrainingJobPage})
def list_training_jobs(query: schemas.ListTrainingJobs) -> Answer:
    """List trainings, newest first."""
    window = read_page(query)
    page, next_before = jobs.list_jobs(
        box(), tenant_id(), status=query.status, before=window.place, limit=window.limit, offset=window.offset
    )

    def count() -> int:
        return jobs.count_jobs(box(), tenant_id(), query.status)

    return page_answer(("items",), [*map(render_job, page)], window, next_before, count), 200


@blueprint.get("/<training_job_id>", responses={200: schemas.TrainingJob})
def get_training_job(path: schemas.TrainingJobPath) -> Answer:
    """Get a training and how far it is."""
    return render_job(jobs.get_job(box(), tenant_id(), path.training_job_id)), 200


@blueprint.post("/<training_job_id>/cancel", responses={200: schemas.TrainingJob})
def cancel_training_job(path: schemas.TrainingJobPath) -> Answer:
    """Stop a training. One that has ended stays as it is."""
    return render_job(jobs.cancel_job(box(), tenant_id(), path.training_job_id)), 200


@blueprint.get("/<training_job_id>/report", responses={200: schemas.TrainingReport})
def get_training_report(path: schemas.TrainingJobPath) -> Answer:
    """Get what a completed training found: how good the model is, on what, and how that was measured."""
    return {"report": jobs.get_report(box(), tenant_id(), path.training_job_id)}, 200


def _choices(body: schemas.CreateTrainingJob) -> TrainingChoices:
    dataset_ids = body.dataset_ids or [body.dataset_id or ""]
    share = body.config.validation_split
    return TrainingChoices(
        name=body.name or f"dataset-{dataset_ids[0][:8]}",
        dataset_ids=dataset_ids,
        labels=body.labels or body.config.artifact_types or [],
        base_model=body.base_model,
        mode=body.mode,
        holdout_share=body.holdout.share if share is None else share,
        holdout_dataset_ids=body.holdout.dataset_ids,
        max_false_alarms_per_hour=body.max_false_alarms_per_hour,
        seed=body.seed,
        annotation_set_ids=body.annotation_set_ids or ([body.annotation_set_id] if body.annotation_set_id else []),
    )


def render_job(report: TrainingReport) -> dict[str, Any]:
    """Return the JSON of a training."""
    job = report.job
    choices = job.choices
    counts = dict(job.counts)
    return {
        "id": job.id,
        "name": job.model_name,
        "status": job.status,
        "progress": job.progress,
        "model_id": job.model_id if job.status == "completed" and job.model_deleted_at is None else None,
        "base_model": job.base_model,
        "labels": choices.get("labels", []),
        "dataset_ids": choices.get("dataset_ids", []),
        "annotation_set_ids": choices.get("annotation_set_ids", []),
        "mode": choices.get("mode", ""),
        "holdout": {"share": choices.get("holdout_share"), "dataset_ids": choices.get("holdout_dataset_ids")},
        "max_false_alarms_per_hour": choices.get("max_false_alarms_per_hour", 0.0),
        "seed": choices.get("seed", 0),
        "warnings": counts.pop("warnings", []),
        "counts": counts,
        "annotations_sha256": job.annotations_sha256,
        "error_code": job.error_code,
        "error_message": job.error_message,
        "callback_url": job.callback_url,
        "callback": report.callback,
        "created_at": rfc3339(job.created_at),
        "updated_at": rfc3339(job.updated_at),
    }
