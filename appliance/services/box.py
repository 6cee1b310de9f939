"""The box: what every service works on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from appliance.config import Settings
from appliance.engine.models.store import ModelStore
from appliance.state.database import Database
from appliance.storage.access import load_access
from appliance.storage.objects import ObjectStore

TRAINED = "trained"  # folder of the data folder


@dataclass(frozen=True)
class Box:
    """The settings, the state, the objects and the models of one appliance."""

    settings: Settings
    db: Database
    objects: ObjectStore
    models: ModelStore

    def trained_models(self, tenant_id: int) -> ModelStore:
        """Return the store of the models that a tenant trained, which no other tenant sees."""
        return _store(self.settings.data_dir.absolute() / TRAINED / f"tenant-{tenant_id}")


@cache
def _store(root: Path) -> ModelStore:
    return ModelStore(root)  # one for each folder: it knows the manifests that it has read


def open_box(settings: Settings) -> Box:
    """Open the box of a data folder. Raises StorageUnavailable if ``up`` has not prepared its storage yet."""
    objects = ObjectStore(load_access(settings.data_dir))
    return Box(settings, Database.of(settings), objects, ModelStore(settings.model_store))
