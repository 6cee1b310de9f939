"""The models that the worker has loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import structlog

from appliance.config import Settings
from appliance.engine.models.calibration import calibrate, parallel_of
from appliance.engine.models.gpu_options import GpuOptions
from appliance.engine.models.runtime import Provider
from appliance.engine.models.session import Parallel, Session, Slot
from appliance.engine.models.store import StoredModel, check_checksum
from appliance.engine.scoring.scorer import Scorer
from appliance.engine.speech.transcriber import Transcriber
from appliance.errors import ApplianceError
from appliance.worker.foreground import Foreground

log = structlog.get_logger()

BACKGROUND = "vectors in the background"

Resolve = Callable[[int | None, str], StoredModel]  # the model of an id, for a tenant that may have its own


class Scorers:
    """One scorer for each model and use, loaded when first needed."""

    def __init__(self, settings: Settings, resolve: Resolve, provider: Provider) -> None:
        self.foreground = Foreground()  # embedders in the background give way to it
        self._settings = settings
        self._resolve = resolve
        self._provider = provider
        self._lock = threading.Lock()
        self._how: Parallel | GpuOptions | None = None  # on the CPU chosen with the default model
        if provider == "cuda":
            self._how = GpuOptions.from_settings(settings)
        self._cores: threading.Semaphore | None = None  # shared by all scorers on the CPU
        self._loaded: dict[tuple[Path, str], Scorer] = {}
        self._known: dict[tuple[int | None, str, str], Scorer] = {}  # the same, for a tenant by the model's id
        self._transcribers: dict[str, Transcriber] = {}

    def detector(self, model_id: str, tenant_id: int | None = None) -> Scorer:
        """Return the scorer of a model for detection, which may be one that the tenant trained.

        Raises ModelNotFound, InvalidManifest, ProviderUnavailable.
        """
        return self._get(model_id, "scores", Slot.score, tenant_id)

    def embedder(self, model_id: str, *, background: bool = False) -> Scorer:
        """Return the scorer that gives a model's vectors, with half of the cores if it is for the background.

        Raises ModelNotFound, InvalidManifest, ProviderUnavailable.
        """
        return self._get(model_id, BACKGROUND if background else "vectors", Slot.embed)

    def transcriber(self, model_id: str) -> Transcriber:
        """Return a loaded model for transcription. Raises ModelNotFound, InvalidManifest."""
        with self._lock:
            if model_id in self._transcribers:
                return self._transcribers[model_id]
            model = self._resolve(None, model_id)
            name = model.manifest.id
            if name not in self._transcribers:
                check_checksum(model)
                self._transcribers[name] = Transcriber(model)
                log.info("model loaded", model=name, use="text", provider="cpu")
            return self._transcribers[name]

    def _get(
        self, model_id: str, use: str, score: Callable[[Slot, int], np.ndarray], tenant_id: int | None = None
    ) -> Scorer:
        with self._lock:
            if scorer := self._known.get((tenant_id, model_id, use)):
                return scorer
            model = self._resolve(tenant_id, model_id)
            key = (model.folder, use)
            if key not in self._loaded:
                check_checksum(model)
                self._loaded[key] = self._load(model, use, score)
            self._known[tenant_id, model.manifest.id, use] = self._loaded[key]
            return self._loaded[key]

    def _load(self, model: StoredModel, use: str, score: Callable[[Slot, int], np.ndarray]) -> Scorer:
        how, is_patient = self._how or parallel_of(self._settings, model), use == BACKGROUND
        if isinstance(how, Parallel) and is_patient:  # a call that has begun cannot give way, so some cores stay free
            how = Parallel(max(1, how.calls // 2), how.threads)
        session = Session(model, self._provider, self._settings.batch_size, how)
        if session.provider == "cpu" and self._cores is None and not is_patient:
            self._cores = threading.Semaphore(session.calls)
        log.info("model loaded", model=model.manifest.id, use=use, provider=session.provider, batch=session.batch_size)
        if is_patient:
            return Scorer(session, score, self._cores, self.foreground.give_way)
        return Scorer(session, score, self._cores)

    def load_default(self) -> None:
        """Load the default model before the first file, and measure at the first start how it uses the cores best.

        If it does not load, log it and go on: files that use it fail with the same error.
        """
        settings = self._settings
        try:
            if self._provider == "cpu":
                model = self._resolve(None, settings.default_model)
                check_checksum(model)
                self._how = calibrate(settings, model)
            self.detector(settings.default_model)
        except ApplianceError as error:
            log.error("default model not loaded", code=error.code, error=str(error))

    def longest_call_seconds(self) -> float:
        """Return for how long the oldest call of a graph has been running that has not returned; 0 without one."""
        return max((scorer.longest_call_seconds() for scorer in [*self._loaded.values()]), default=0.0)

    def close(self) -> None:
        """Stop all scorers."""
        for scorer in self._loaded.values():
            scorer.close()
