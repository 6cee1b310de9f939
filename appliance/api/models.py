"""The models over HTTP."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_openapi import APIBlueprint, Tag

from appliance.api import schemas
from appliance.api.context import box, require_key, tenant_id
from appliance.engine.models.speech_manifest import SpeechManifest
from appliance.rfc3339 import rfc3339
from appliance.services import models, trained_models
from appliance.services.models import ModelReport

blueprint = APIBlueprint(
    "models",
    __name__,
    url_prefix="/api/v1/models",
    abp_tags=[Tag(name="models", description="Installed models.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]


@blueprint.get("", responses={200: schemas.ModelList})
def list_models(query: schemas.ListModels) -> Answer:
    """List the models of all, and those that the tenant trained."""
    reports = models.list_models(box(), tenant_id(), retired=query.retired)
    return {"models": [*map(render_model, reports)]}, 200


@blueprint.get("/<model_id>", responses={200: schemas.Model})
def get_model(path: schemas.ModelPath) -> Answer:
    """Get a model by `<name>` or `<name>@<version>`."""
    return render_model(models.get_model(box(), path.model_id, tenant_id())), 200


@blueprint.get("/<model_id>/card", responses={200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}})
def get_model_card(path: schemas.ModelPath) -> Response:
    """Get the card of a model: what it is for, what it was trained on and how well it does, in Markdown."""
    return Response(models.read_card(box(), path.model_id, tenant_id()), mimetype="text/markdown")


@blueprint.post("/<model_id>/retire", responses={200: schemas.Model})
def retire_model(path: schemas.ModelPath) -> Answer:
    """Retire a version that the tenant trained, `<name>@<version>`: no new job can name it."""
    return render_model(trained_models.retire_model(box(), tenant_id(), path.model_id)), 200


@blueprint.delete("/<model_id>", responses={204: None})
def delete_model(path: schemas.ModelPath) -> tuple[str, int]:
    """Delete a version that the tenant trained, `<name>@<version>`. One that unfinished work needs gives 409."""
    trained_models.delete_model(box(), tenant_id(), path.model_id)
    return "", 204


def render_model(report: ModelReport) -> dict[str, Any]:
    """Return the JSON of a model, with the rules of its labels that apply if the client sets none."""
    manifest = report.manifest
    common = {
        "id": manifest.id,
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.task,
        "description": manifest.description,
        "licence": manifest.licence,
        "sample_rate_hz": manifest.input.sample_rate_hz,
        "provider": report.provider,
        "training_job_id": report.trained and report.trained.training_job_id,
        "retired_at": rfc3339(report.trained.retired_at) if report.trained and report.trained.retired_at else None,
    }
    if isinstance(manifest, SpeechManifest):
        return common | {"language": manifest.language, "labels": [], "defaults": None}
    rules = [(label, manifest.rule_of(label)) for label in manifest.labels if label.reported]
    labels = [{"name": label.name, "point": label.point} | rule.model_dump() for label, rule in rules]
    return common | {"language": None, "labels": labels, "defaults": manifest.defaults.model_dump()}
