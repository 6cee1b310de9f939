"""What every use case works on."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.config import Settings
from appliance.engine.models import ModelStore
from appliance.state.database import Database
from appliance.storage.objects import ObjectStore


@dataclass(frozen=True)
class Box:
    """The settings, the state, the objects and the models of one appliance."""

    settings: Settings
    db: Database
    objects: ObjectStore
    models: ModelStore
