"""The label tracks of the audio editor Audacity."""

from __future__ import annotations


def audacity_line(start_ms: int, end_ms: int, label: str) -> str:
    """Return one line of a label track, without a line end: start and end in seconds, and the label."""
    return f"{start_ms / 1000:.6f}\t{end_ms / 1000:.6f}\t{label}"
