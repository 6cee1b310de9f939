"""An engine: what a node runs for the box. It fetches recordings by URL, decodes them confined, and scores them.

It has its lanes, models and temporary files in the node's own data folder, and no database.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from appliance.config import Settings
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models.packing import is_unpacked, unpack
from appliance.engine.models.runtime import Provider
from appliance.engine.models.store import ModelStore
from appliance.engine.speech.transcriber import transcribe
from appliance.errors import ApplianceError, Stopped
from appliance.storage.by_url import UrlReader
from appliance.worker.asks import Answer, Ask, RecordingAsk, Reply
from appliance.worker.executor import analyze_file
from appliance.worker.scorers import Scorers


class Engine:
    """Lanes with a decoder each, and the models that they share. Threads may share it."""

    def __init__(self, settings: Settings, provider: Provider, lanes: int) -> None:
        self.lanes = lanes
        self._settings = settings
        self._provider: Provider = provider
        self._folder = settings.data_dir / "models"
        self._temporary = settings.data_dir / "tmp"
        for folder in (self._folder, self._temporary):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._reader = UrlReader(settings.storage_ca_file)
        self._threads = ThreadPoolExecutor(lanes, "lanes")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._scorers: dict[str, Scorers] = {}  # by the digest of the packed model
        self._cancelled: set[str] = set()

    def has_model(self, model_id: str, digest: str) -> bool:
        """Whether this engine, or another one on this node, has the whole model."""
        return digest in self._scorers or is_unpacked(self._folder, model_id, digest)

    def add_model(self, model_id: str, files: dict[str, bytes], digest: str) -> None:
        """Keep a packed model. Raises InvalidManifest if it has another SHA-256."""
        unpack(self._folder, model_id, files, digest)

    def cancel(self, asks: Sequence[str]) -> None:
        """Stop what is in progress for these asks at its next window."""
        self._cancelled = set(asks)

    def longest_call_seconds(self) -> float:
        """Return for how long the oldest call of a graph has been running that has not returned; 0 without one."""
        return max((scorers.longest_call_seconds() for scorers in [*self._scorers.values()]), default=0.0)

    def do(self, asks: Sequence[Ask]) -> list[Reply | ApplianceError]:
        """Run the asks, each on a lane. Returns a reply or an error for each, in the same order."""
        return list(self._threads.map(self._reply, asks))

    def _reply(self, ask: Ask) -> Reply | ApplianceError:
        try:
            return self._do(ask)
        except ApplianceError as error:
            return error
        except Exception as error:
            return ApplianceError(f"The engine failed on this file: {type(error).__name__}: {error}.")

    def _do(self, ask: Ask) -> Reply:
        assert isinstance(ask, RecordingAsk)

        def checkpoint(_: float = 0.0) -> None:
            if ask.id in self._cancelled:
                raise Stopped("The box needs no answer any more.")

        checkpoint()
        scorers = self._scorers_of(ask.digest)
        with ExitStack() as files:
            file, spool, archive = (files.enter_context(tempfile.TemporaryFile(dir=self._temporary)) for _ in range(3))
            self._reader.fetch(ask.url, ask.etag, file)
            file.flush()
            if ask.config is None:
                return Answer(transcribe(file, self._decoder(), scorers.transcriber(ask.model), checkpoint), None)
            scorer = scorers.detector(ask.model)
            scratch = (spool, archive) if ask.keep_scores else None
            look_file = io.BytesIO() if ask.look else None  # it goes to the box with the analysis
            outcome = analyze_file(file, self._decoder(), scorer, ask.config, checkpoint, scratch, look_file)
            archive.seek(0)
            return Answer(outcome.analysis, archive.read() if ask.keep_scores else None)

    def _scorers_of(self, digest: str) -> Scorers:
        with self._lock:
            if digest not in self._scorers:
                store = ModelStore(self._folder / digest)
                self._scorers[digest] = Scorers(self._settings, lambda _, model: store.resolve(model), self._provider)
            return self._scorers[digest]

    def _decoder(self) -> Decoder:
        if not hasattr(self._local, "decoder"):
            self._local.decoder = Decoder(DecodeLimits.from_settings(self._settings))
        decoder: Decoder = self._local.decoder
        return decoder


def lanes_of(settings: Settings, engines: int) -> int:
    """Return how many lanes each of the engines of this machine has."""
    return settings.decoders or max(2, len(os.sched_getaffinity(0)) // engines)
