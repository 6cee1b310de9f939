"""Opens a box for a process."""

from __future__ import annotations

from appliance.config import Settings
from appliance.engine.models import ModelStore
from appliance.services.box import Box
from appliance.state.database import Database
from appliance.storage.access import load_access
from appliance.storage.objects import ObjectStore


def open_box(settings: Settings) -> Box:
    """The box whose storage ``up`` has prepared. Raises StorageUnavailable where it has not."""
    objects = ObjectStore(load_access(settings.data_dir))
    return Box(settings, Database.of(settings), objects, ModelStore(settings.model_store))
