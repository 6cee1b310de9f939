"""The box: what every service works on."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.config import Settings
from appliance.engine.models.store import ModelStore
from appliance.state.database import Database
from appliance.storage.access import load_access
from appliance.storage.objects import ObjectStore


@dataclass(frozen=True)
class Box:
    """The settings, the state, the objects and the models of one appliance."""

    settings: Settings
    db: Database
    objects: ObjectStore
    models: ModelStore


def open_box(settings: Settings) -> Box:
    """Open the box of a data folder. Raises StorageUnavailable if ``up`` has not prepared its storage yet."""
    objects = ObjectStore(load_access(settings.data_dir))
    return Box(settings, Database.of(settings), objects, ModelStore(settings.model_store))
