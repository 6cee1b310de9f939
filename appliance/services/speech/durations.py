"""The duration that a recording's header claims, read in a decoder process: the bytes are untrusted."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from appliance.config import Settings
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.errors import AudioError

CPU_SECONDS = 10
STALL_SECONDS = 30.0


class Durations:
    """One decoder for many threads, started at the first call."""

    def __init__(self, settings: Settings) -> None:
        limits = DecodeLimits.from_settings(settings)
        self._decoder = Decoder(replace(limits, cpu_seconds=CPU_SECONDS, stall_seconds=STALL_SECONDS))
        self._lock = threading.Lock()

    def estimate_seconds(self, path: Path) -> float | None:
        """Return the claimed duration in seconds, to the millisecond, or None if the file has no readable header."""
        try:
            with self._lock, path.open("rb") as file:
                seconds = self._decoder.claimed_seconds(file)
        except AudioError:
            return None
        return None if seconds is None else round(seconds, 3)
