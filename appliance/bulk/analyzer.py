"""The loop of ``detect`` and ``bulk``: recordings in, their detections out, on one lane for each decoder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol

from appliance.bulk.lanes import Item, Lanes
from appliance.config import Settings
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models.calibration import parallel_of
from appliance.engine.models.gpu_options import GpuOptions
from appliance.engine.models.runtime import choose_provider
from appliance.engine.models.session import Session
from appliance.engine.models.store import StoredModel
from appliance.engine.scoring.detector import analyse
from appliance.engine.scoring.events import Detection, DetectionConfig
from appliance.engine.scoring.scorer import Scorer
from appliance.errors import ApplianceError, DecoderDied, FileUnreadable


@dataclass(frozen=True)
class Outcome:
    """What became of a recording: its length in milliseconds and its detections, or the error that it met."""

    duration_ms: int | None
    detections: list[Detection]
    error: ApplianceError | None


class Listener(Protocol):
    """Hears from all lanes how far they are."""

    def hear(self, seconds: float) -> None:
        """Take note of seconds of audio that were analyzed."""

    def end_file(self, *, failed: bool) -> None:
        """Take note of a recording that ended."""

    def end_inputs(self, num_inputs: int) -> None:
        """Take note that there are no more recordings to come: there were ``num_inputs``."""


def open_session(settings: Settings, model: StoredModel) -> Session:
    """Load a model as the settings and the machine want it. Raises InvalidManifest, ProviderUnavailable."""
    provider = choose_provider(settings.provider)
    how = GpuOptions.from_settings(settings) if provider == "cuda" else parallel_of(settings, model)
    return Session(model, provider, settings.batch_size, how)


class Analyzer:
    """Analyzes recordings with one model and one configuration, on ``num_lanes`` lanes; 0 is one for each core."""

    def __init__(
        self, scorer: Scorer, config: DetectionConfig, limits: DecodeLimits, num_lanes: int, listener: Listener
    ) -> None:
        self._scorer = scorer
        self._config = config
        self._limits = limits
        self._num_lanes = num_lanes or len(os.sched_getaffinity(0))
        self._listener = listener

    def analyze_all(
        self,
        items: Iterable[Item],
        open_item: Callable[[Item], AbstractContextManager[BinaryIO]],
        take: Callable[[Item, Outcome], None],
        tries: int = 1,
    ) -> None:
        """Analyze recordings in parallel.

        ``open_item`` opens a recording. ``take`` is called on its lane when it ended; what it raises ends the run. A
        recording on which the decoder dies is analyzed ``tries`` times.
        """

        def handle(item: Item, decoder: Decoder) -> None:
            for _ in range(tries):
                outcome = self._analyze(partial(open_item, item), decoder, lanes.check)
                if not isinstance(outcome.error, DecoderDied):
                    break
            take(item, outcome)
            self._listener.end_file(failed=outcome.error is not None)

        lanes: Lanes[Item]
        with Lanes(self._num_lanes, self._limits, handle) as lanes:
            num_items = 0
            for item in items:
                lanes.submit(item)
                num_items += 1
            self._listener.end_inputs(num_items)

    def _analyze(
        self, open_item: Callable[[], AbstractContextManager[BinaryIO]], decoder: Decoder, check: Callable[[], None]
    ) -> Outcome:
        position = 0.0

        def checkpoint(seconds: float) -> None:
            nonlocal position
            check()
            self._listener.hear(seconds - position)
            position = seconds

        try:
            with open_item() as file:
                analysis = analyse(file, decoder, self._scorer, self._config, checkpoint)
            self._listener.hear(analysis.duration_ms / 1000 - position)
            return Outcome(analysis.duration_ms, analysis.detections, None)
        except ApplianceError as error:
            return Outcome(None, [], error)
        except OSError as error:
            return Outcome(None, [], FileUnreadable(f"The file cannot be read: {error.strerror}."))
