"""The models that jobs can name: list, add, remove.

The models of the store are everybody's. What a tenant trained is in a store of its own, and nobody else's: no call of
another tenant lists, names or uses it, unless an administrator promotes it. ``trained_models.py`` has what their owner
does with them.
"""

from __future__ import annotations

import errno
import re
import shutil
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.config import Settings
from appliance.engine import registration
from appliance.engine.models.manifest import Manifest
from appliance.engine.models.speech_manifest import SpeechManifest
from appliance.engine.models.store import CARD, ModelStore, StoredModel
from appliance.engine.registration import CheckLimits
from appliance.errors import Conflict, FileTooLarge, InvalidManifest, InvalidRequest, ModelNotFound, NotFound
from appliance.services import audit, quotas
from appliance.services.box import Box
from appliance.state import inference_jobs, training_jobs, transcripts, workers
from appliance.state.database import Database
from appliance.state.training_jobs import TrainedModel

DEFAULTS = ("default_model", "transcription_model", "embedding_model")  # settings that name a model
MAX_FILES = 20
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_adding = threading.Lock()


class ModelFile(Protocol):
    """A file of a model as it arrives."""

    @property
    def filename(self) -> str:
        """Its name in the model's folder."""
        ...

    @property
    def blocks(self) -> Iterable[bytes]:
        """Its bytes, which can be read once."""
        ...


@dataclass(frozen=True)
class ModelReport:
    """A model, and the provider on which the worker runs it; None before a worker ever started.

    ``trained`` is None for a model that is everybody's.
    """

    manifest: Manifest | SpeechManifest
    provider: str | None
    trained: TrainedModel | None = None


def resolve(box: Box, tenant_id: int | None, model_id: str) -> StoredModel:
    """Return a model that the tenant can name, its own before those of all; also one that is retired.

    Without a tenant only those of all. Raises ModelNotFound.
    """
    if tenant_id is not None:
        with suppress(ModelNotFound):
            return box.trained_models(tenant_id).resolve(model_id)
    return box.models.resolve(model_id)


def choose(box: Box, tenant_id: int, model_id: str) -> StoredModel:
    """Return the model for new work of the tenant. Raises ModelNotFound, also if it is retired."""
    name, _, version = model_id.partition("@")
    trained = {model.id: model for model in training_jobs.list_models(box.db, tenant_id)}
    named = [
        model
        for model in box.trained_models(tenant_id).models()
        if model.manifest.id in trained and model.manifest.name == name and version in ("", model.manifest.version)
    ]
    for model in named:
        if trained[model.manifest.id].retired_at is None:
            return model
    try:
        return box.models.resolve(model_id)
    except ModelNotFound as error:
        if not named:
            raise
        raise ModelNotFound(f"The model {model_id!r} was retired.") from error


def list_models(box: Box, tenant_id: int | None = None, *, retired: bool = False) -> list[ModelReport]:
    """Return every readable model of all, and then the tenant's own, by name, newest version first.

    With ``retired`` also those that the tenant retired.
    """
    provider = _provider(box)
    shared = [_report(model.manifest, provider) for model in box.models.models()]
    if tenant_id is None:
        return shared
    trained = {model.id: model for model in training_jobs.list_models(box.db, tenant_id)}
    own = [
        ModelReport(model.manifest, provider, trained[model.manifest.id])
        for model in box.trained_models(tenant_id).models()
        if model.manifest.id in trained and (retired or trained[model.manifest.id].retired_at is None)
    ]
    names = {report.manifest.id for report in own}
    return [report for report in shared if report.manifest.id not in names] + own


def get_model(box: Box, model_id: str, tenant_id: int | None = None) -> ModelReport:
    """Return a model by ``<name>`` or ``<name>@<version>``. Raises ModelNotFound."""
    manifest = resolve(box, tenant_id, model_id).manifest
    trained = [] if tenant_id is None else training_jobs.list_models(box.db, tenant_id)
    return ModelReport(
        manifest,
        _report(manifest, _provider(box)).provider,
        next((model for model in trained if model.id == manifest.id), None),
    )


def read_card(box: Box, model_id: str, tenant_id: int | None = None) -> str:
    """Return the text of a model's card, in Markdown. Raises ModelNotFound, or NotFound if it has none."""
    try:
        return (resolve(box, tenant_id, model_id).folder / CARD).read_text("utf-8", "replace")
    except OSError as error:
        raise NotFound(f"The model {model_id} has no {CARD}.") from error


def add_model(box: Box, files: Iterable[ModelFile]) -> ModelReport:
    """Check a model in a confined process and add it to the store, as `appliance models add` does.

    Raises InvalidRequest for a bad form, FileTooLarge, StorageFull, InvalidManifest with the field, ModelExists, and
    Conflict if another model is being added, or if the store cannot be written.
    """
    if not _adding.acquire(blocking=False):
        raise Conflict("Another model is being added. Try again when that has ended.")
    folder = box.settings.data_dir.absolute() / "tmp" / "new-model"  # one, so that a crash leaves no more than one
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        _receive(box, files, folder)
        report = add_folder(box, folder)
        note_added(box.db, report.manifest.id)
        return report
    except InvalidManifest as error:
        raise InvalidManifest(str(error).replace(f"{folder}/", "").replace(str(folder), "the model")) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _adding.release()


def add_folder(box: Box, folder: Path) -> ModelReport:
    """Check the model in a folder and copy it into the store of all.

    Raises InvalidManifest, ModelExists, and Conflict if the store cannot be written.
    """
    try:
        manifest = registration.add_model(box.models, folder, CheckLimits.from_settings(box.settings)).manifest
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise Conflict(f"The model store {box.models.root} cannot be written: {error.strerror}.") from error
    return _report(manifest, _provider(box))


def note_added(db: Database, model_id: str) -> None:
    """Note in the audit log that a model was added."""
    with db.transaction() as tx:
        audit.note(tx, "model added", model_id)


def _receive(box: Box, files: Iterable[ModelFile], folder: Path) -> None:
    limit, total = box.settings.max_model_bytes, 0
    for number, file in enumerate(files):
        if number == MAX_FILES:
            raise InvalidRequest(f"files: a model has up to {MAX_FILES} files.")
        if not FILE_NAME.fullmatch(file.filename):
            raise InvalidRequest(f"files: {file.filename!r} is not the name of a model's file, such as manifest.toml.")
        path = folder / file.filename
        if path.exists():
            raise InvalidRequest(f"files: {file.filename} came twice.")
        with path.open("wb") as target:
            for block in file.blocks:
                total += len(block)
                if total > limit:
                    raise FileTooLarge(f"files: the model has more than {limit} bytes (max_model_bytes).")
                quotas.check_disk(box, len(block))
                target.write(block)


def remove_model(settings: Settings, db: Database, store: ModelStore, model_id: str) -> None:
    """Remove the version ``<name>@<version>`` of a model. Results that it made stay.

    Raises ModelNotFound, and Conflict if a setting means this version, or work that waits or runs needs it.
    """
    store.folder_of(model_id)
    for name in DEFAULTS:
        try:
            meant = store.resolve(getattr(settings, name)).manifest.id
        except ModelNotFound:
            continue
        if meant == model_id:
            raise Conflict(f"{model_id} is the {name} of this appliance. Change that setting first.")
    name, _, version = model_id.partition("@")
    with db.transaction() as tx:
        uses = inference_jobs.count_open_files(tx, name, version) + transcripts.count_open(tx, model_id)
        if uses:
            raise Conflict(f"{model_id} is in use: {uses} files or transcripts have not ended. Cancel them, or wait.")
        registration.remove_model(store, model_id)
        audit.note(tx, "model removed", model_id)


def _report(manifest: Manifest | SpeechManifest, provider: str | None) -> ModelReport:
    # A worker on a GPU also transcribes on the CPU.
    return ModelReport(manifest, "cpu" if provider and isinstance(manifest, SpeechManifest) else provider)


def _provider(box: Box) -> str | None:
    worker = workers.first(box.db)
    return worker.provider if worker else None
