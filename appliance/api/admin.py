"""Keys, tenants and models for administrators, over HTTP. The command line has the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import structlog
from flask import Response, g, request
from flask_openapi import APIBlueprint, Tag

from appliance.api import admin_schemas as schemas
from appliance.api.context import box, require_key, upload_slot
from appliance.api.models import render_model
from appliance.api.multipart import file_parts
from appliance.api.schemas import Model, ModelPath
from appliance.frontdoor.paths import FORM_BYTES
from appliance.rfc3339 import rfc3339
from appliance.services import audit, keys, models, tenants, trained_models
from appliance.state.keys import ApiKey
from appliance.state.tenants import Tenant

blueprint = APIBlueprint(
    "admin",
    __name__,
    url_prefix="/api/v1/admin",
    abp_tags=[Tag(name="admin", description="Keys, tenants and models. They need a key with the scope `admin`.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

log = structlog.get_logger()

Answer = tuple[dict[str, Any], int]
FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
FORM = {"content": {"multipart/form-data": {"schema": {"type": "object", "properties": {"files": FILES}}}}}


@blueprint.after_request
def log_change(response: Response) -> Response:
    """Note in the API's log who changed what, without the secret of a new key."""
    if request.method in ("POST", "DELETE") and response.status_code < 300:
        made = (response.get_json(silent=True) or {}).get("id")
        call = f"{request.method} {request.path}"
        log.info("an administrator made a change", key=g.key_name, call=call, made=made, request_id=g.request_id)
    return response


@blueprint.post("/keys", responses={201: schemas.NewKey})
def create_key(body: schemas.CreateKey) -> Answer:
    """Create a key. Its secret is in this answer and nowhere else."""
    secret = keys.create_key(box().db, body.name, body.tenant, body.scopes, body.expires_days)
    return render_key(keys.find_key(box().db, body.name)) | {"key": secret}, 201


@blueprint.get("/keys", responses={200: schemas.KeyList})
def list_keys() -> Answer:
    """List all keys, without their secrets."""
    return {"keys": [render_key(key) for key in keys.list_keys(box().db)]}, 200


@blueprint.delete("/keys/<int:key_id>", responses={204: None})
def revoke_key(path: schemas.KeyPath) -> tuple[str, int]:
    """Revoke a key. The last one with the scope `admin` gives 409."""
    keys.revoke_key(box().db, path.key_id, keep_administrator=True)
    return "", 204


@blueprint.post("/keys/<int:key_id>/rotate", responses={201: schemas.NewKey})
def rotate_key(path: schemas.KeyPath, body: schemas.RotateKey) -> Answer:
    """Create a key in the place of another one, which is let in for some hours more, under another name."""
    key, secret = keys.rotate_key(box().db, path.key_id, body.overlap_hours)
    return render_key(key) | {"key": secret}, 201


@blueprint.get("/audit", responses={200: schemas.AuditLog})
def list_audit(query: schemas.AuditQuery) -> Answer:
    """List who did what, by API and command line, newest first."""
    entries, before = audit.list_entries(box().db, before=query.before, limit=query.limit)
    rendered = [asdict(entry) | {"at": rfc3339(entry.at)} for entry in entries]
    return {"entries": rendered, "next_before": before}, 200


@blueprint.post("/tenants", responses={201: schemas.Tenant})
def create_tenant(body: schemas.CreateTenant) -> Answer:
    """Create a tenant."""
    return render_tenant(tenants.create_tenant(box().db, body.name)), 201


@blueprint.get("/tenants", responses={200: schemas.TenantList})
def list_tenants() -> Answer:
    """List all tenants."""
    return {"tenants": [render_tenant(tenant) for tenant in tenants.list_tenants(box().db)]}, 200


@blueprint.post("/tenants/<int:tenant_id>/disable", responses={200: schemas.Tenant})
def disable_tenant(path: schemas.TenantPath) -> Answer:
    """Refuse all keys of a tenant from now on. The tenant of the last key with the scope `admin` gives 409."""
    return render_tenant(tenants.disable_tenant(box().db, path.tenant_id, keep_administrator=True)), 200


@blueprint.post("/tenants/<int:tenant_id>/enable", responses={200: schemas.Tenant})
def enable_tenant(path: schemas.TenantPath) -> Answer:
    """Let the keys of a tenant in again."""
    return render_tenant(tenants.enable_tenant(box().db, path.tenant_id)), 200


@blueprint.post("/tenants/<int:tenant_id>/retention", responses={200: schemas.Tenant})
def set_retention(path: schemas.TenantPath, body: schemas.Retention) -> Answer:
    """Set after how many days what a tenant stored is deleted."""
    days = (body.originals_days, body.scores_days, body.results_days)
    return render_tenant(tenants.set_retention(box().db, path.tenant_id, *days)), 200


@blueprint.get("/models", responses={200: schemas.ModelStoreList})
def list_models() -> Answer:
    """List the models of the store, and say which cannot be used and why."""
    reports = [render_model(report) for report in models.list_models(box())]
    return {"models": reports, "faults": box().models.faults()}, 200


@blueprint.post("/models", responses={201: Model}, request_body=FORM)
def add_model() -> Answer:
    """Add a model: the files of its folder in one form, each as a part named `files` with its own name.

    It is checked in a confined process first, which may take a minute or two.
    """
    request.max_content_length = box().settings.max_model_bytes + FORM_BYTES
    with upload_slot():
        parts = file_parts(request.stream, request.headers.get("Content-Type", ""), ("files",))
        return render_model(models.add_model(box(), parts)), 201


@blueprint.post("/models/promote", responses={201: Model})
def promote_model(body: schemas.PromoteModel) -> Answer:
    """Copy a model that a tenant trained into the store of all. It is checked again first, which may take a minute."""
    return render_model(trained_models.promote_model(box(), body.tenant, body.model_id)), 201


@blueprint.delete("/models/<model_id>", responses={204: None})
def remove_model(path: ModelPath) -> tuple[str, int]:
    """Remove a version, `<name>@<version>`. One that a setting names, or that work needs, gives 409."""
    models.remove_model(box().settings, box().db, box().models, path.model_id)
    return "", 204


def render_key(key: ApiKey) -> dict[str, Any]:
    """Return the JSON of a key."""
    times = {name: getattr(key, name) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
    return {"id": key.id, "name": key.name, "tenant": key.tenant, "scopes": list(key.scopes)} | _rendered(times)


def render_tenant(tenant: Tenant) -> dict[str, Any]:
    """Return the JSON of a tenant."""
    times = {"created_at": tenant.created_at, "disabled_at": tenant.disabled_at}
    days = {name: getattr(tenant, name) for name in ("originals_days", "scores_days", "results_days")}
    return {"id": tenant.id, "name": tenant.name, "retention": days} | _rendered(times)


def _rendered(times: dict[str, float | None]) -> dict[str, str | None]:
    return {name: None if time is None else rfc3339(time) for name, time in times.items()}
