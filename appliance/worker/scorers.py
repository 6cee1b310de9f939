"""The models that the worker has loaded."""

from __future__ import annotations

import threading

import structlog

from appliance.engine.models import check_checksum
from appliance.engine.scoring import Scorer
from appliance.engine.session import Provider, Session
from appliance.errors import ApplianceError
from appliance.services.box import Box

log = structlog.get_logger()


class Scorers:
    """One scorer for each model, loaded when first needed."""

    def __init__(self, box: Box, provider: Provider) -> None:
        self._box = box
        self._provider = provider
        self._lock = threading.Lock()
        self._loaded: dict[str, Scorer] = {}

    def get(self, model_id: str) -> Scorer:
        """The scorer of a model. Raises ModelNotFound, InvalidManifest, ProviderUnavailable."""
        with self._lock:
            model = self._box.models.resolve(model_id)
            if model.manifest.id not in self._loaded:
                check_checksum(model)
                session = Session(model, self._provider, self._box.settings.batch_size)
                self._loaded[model.manifest.id] = Scorer(session)
                log.info("model loaded", model=model.manifest.id, provider=session.provider, batch=session.batch_size)
            return self._loaded[model.manifest.id]

    def load_default(self) -> None:
        """Load the default model ahead of the first file; a fault in it is told, and met again by its files."""
        try:
            self.get(self._box.settings.default_model)
        except ApplianceError as error:
            log.error("default model not loaded", code=error.code, error=str(error))

    def close(self) -> None:
        """Stop all scorers."""
        for scorer in self._loaded.values():
            scorer.close()
