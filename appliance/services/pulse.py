"""A worker's sign of life for the supervisor: a file that it touches. It needs no database, which may be locked."""

from __future__ import annotations

from pathlib import Path


def worker_name(number: int) -> str:
    """Return the name of a worker's process, log, lock and other files."""
    return "worker" if number == 1 else f"worker-{number}"


def pulse_file(data_dir: Path, number: int = 1) -> Path:
    """Return the path of the file."""
    return data_dir / "run" / f"{worker_name(number)}.pulse"


def beat(data_dir: Path, number: int = 1) -> None:
    """Give a sign of life. Raises OSError."""
    pulse_file(data_dir, number).touch(mode=0o600)
