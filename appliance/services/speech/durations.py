"""How long recordings say they are, asked in a decoder process: the bytes are a stranger's."""

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
    """One decoder, started when first asked, that many threads may ask."""

    def __init__(self, settings: Settings) -> None:
        limits = DecodeLimits.from_settings(settings)
        self._decoder = Decoder(replace(limits, cpu_seconds=CPU_SECONDS, stall_seconds=STALL_SECONDS))
        self._lock = threading.Lock()

    def estimate_seconds(self, path: Path) -> float | None:
        """What the header of a file says, to the millisecond; None where it says nothing or is none."""
        try:
            with self._lock, path.open("rb") as file:
                claimed = self._decoder.claimed_seconds(file)
        except AudioError:
            return None
        return None if claimed is None else round(claimed, 3)
