"""The worker's sign of life for the supervisor: a file that it touches. It needs no database, which may be locked."""

from __future__ import annotations

from pathlib import Path


def pulse_file(data_dir: Path) -> Path:
    """Return the path of the file."""
    return data_dir / "run" / "worker.pulse"


def beat(data_dir: Path) -> None:
    """Give a sign of life. Raises OSError."""
    pulse_file(data_dir).touch(mode=0o600)
