"""The six labels, and an event of the truth."""

from __future__ import annotations

from dataclasses import dataclass

LABELS = ("click", "dropout", "glitch", "clipping", "hum", "noise_burst")


@dataclass(frozen=True)
class Event:
    """One fault: its label, what made it, and its extent in seconds of the damaged recording."""

    label: str
    mechanism: str
    start_seconds: float
    end_seconds: float
