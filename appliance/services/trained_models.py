"""What becomes of a model that a tenant trained: it is registered, retired, deleted, or promoted to all.

A retired model is for no new job. Jobs that have it keep it, also if another version comes. A version is never used
twice, so a job never gets another model than the one that it was created with.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from appliance.engine import registration
from appliance.engine.models.store import StoredModel
from appliance.engine.registration import CheckLimits
from appliance.errors import Conflict, ModelNotFound
from appliance.services import audit
from appliance.services.box import Box
from appliance.services.models import ModelReport, add_folder, get_model
from appliance.services.tenants import find_tenant
from appliance.state import inference_jobs, training_jobs, transcripts
from appliance.state.database import Reader
from appliance.state.training_jobs import TrainedModel


def register_model(box: Box, tenant_id: int, folder: Path) -> StoredModel:
    """Check the model in a folder and copy it into the tenant's own store. Raises InvalidManifest, ModelExists."""
    store = box.trained_models(tenant_id)
    store.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    return registration.add_model(store, folder, CheckLimits.from_settings(box.settings))


def discard_model(box: Box, tenant_id: int, model_id: str) -> None:
    """Remove a version, ``<name>@<version>``, whose training was cancelled at the last moment. Idempotent."""
    with suppress(ModelNotFound):
        registration.remove_model(box.trained_models(tenant_id), model_id)


def retire_model(box: Box, tenant_id: int, model_id: str) -> ModelReport:
    """Let no new job name a version, ``<name>@<version>``, that the tenant trained. Raises ModelNotFound."""
    with box.db.transaction() as tx:
        training_jobs.mark_model(tx, _require(tx, tenant_id, model_id).training_job_id, deleted=False)
        audit.note(tx, "model retired", model_id)
    return get_model(box, model_id, tenant_id)


def delete_model(box: Box, tenant_id: int, model_id: str) -> None:
    """Delete a version, ``<name>@<version>``, that the tenant trained. Results that it made stay.

    Raises ModelNotFound, and Conflict if work that has not ended needs it.
    """
    with box.db.transaction() as tx:
        model = _require(tx, tenant_id, model_id)
        uses = inference_jobs.count_open_files(tx, model.model_name, model.model_version, tenant_id)
        uses += transcripts.count_open(tx, model_id, tenant_id)
        uses += training_jobs.count_open_uses(tx, tenant_id, model_id)
        if uses:
            raise Conflict(f"{model_id} is in use: {uses} files or trainings have not ended. Cancel them, or wait.")
        training_jobs.mark_model(tx, model.training_job_id, deleted=True)
        audit.note(tx, "model deleted", model_id)
        registration.remove_model(box.trained_models(tenant_id), model_id)


def promote_model(box: Box, tenant: str, model_id: str) -> ModelReport:
    """Copy a version, ``<name>@<version>``, that a tenant trained into the store of all.

    Raises NotFound, ModelNotFound, InvalidManifest, ModelExists, and Conflict if that store cannot be written.
    """
    tenant_id = find_tenant(box.db, tenant).id
    _require(box.db, tenant_id, model_id)
    report = add_folder(box, box.trained_models(tenant_id).folder_of(model_id))
    with box.db.transaction() as tx:
        audit.note(tx, "model promoted", f"{model_id} of {tenant}")
    return report


def _require(db: Reader, tenant_id: int, model_id: str) -> TrainedModel:
    for model in training_jobs.list_models(db, tenant_id):
        if model.id == model_id:
            return model
    raise ModelNotFound(f"There is no model {model_id!r} that was trained here; name it as <name>@<version>.")
