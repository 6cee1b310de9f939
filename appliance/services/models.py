"""The models that jobs can name."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.engine.models.manifest import Manifest
from appliance.engine.models.speech_manifest import SpeechManifest
from appliance.engine.models.store import CARD
from appliance.errors import NotFound
from appliance.services.box import Box
from appliance.state import workers


@dataclass(frozen=True)
class ModelReport:
    """A model, and the provider on which the worker runs it; None before a worker ever started."""

    manifest: Manifest | SpeechManifest
    provider: str | None


def list_models(box: Box) -> list[ModelReport]:
    """Return every readable model, by name, newest version first."""
    provider = _provider(box)
    return [_report(model.manifest, provider) for model in box.models.models()]


def get_model(box: Box, model_id: str) -> ModelReport:
    """Return a model by ``<name>`` or ``<name>@<version>``. Raises ModelNotFound."""
    return _report(box.models.resolve(model_id).manifest, _provider(box))


def read_card(box: Box, model_id: str) -> str:
    """Return the text of a model's card, in Markdown. Raises ModelNotFound, or NotFound if it has none."""
    try:
        return (box.models.resolve(model_id).folder / CARD).read_text("utf-8", "replace")
    except OSError as error:
        raise NotFound(f"The model {model_id} has no {CARD}.") from error


def _report(manifest: Manifest | SpeechManifest, provider: str | None) -> ModelReport:
    # A worker on a GPU also transcribes on the CPU.
    return ModelReport(manifest, "cpu" if provider and isinstance(manifest, SpeechManifest) else provider)


def _provider(box: Box) -> str | None:
    worker = workers.first(box.db)
    return worker.provider if worker else None
