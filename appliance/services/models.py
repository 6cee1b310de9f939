"""The models that jobs may name."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.engine.manifest import Manifest
from appliance.services.box import Box
from appliance.state import workers


@dataclass(frozen=True)
class ModelReport:
    """A model, and the provider that the worker runs it on; None before a worker ever started."""

    manifest: Manifest
    provider: str | None


def list_models(box: Box) -> list[ModelReport]:
    """Every readable model, by name, newest version first."""
    provider = _provider(box)
    return [ModelReport(model.manifest, provider) for model in box.models.models()]


def get_model(box: Box, model_id: str) -> ModelReport:
    """A model by ``<name>`` or ``<name>@<version>``. Raises ModelNotFound."""
    return ModelReport(box.models.resolve(model_id).manifest, _provider(box))


def _provider(box: Box) -> str | None:
    worker = workers.current(box.db)
    return worker.provider if worker else None
