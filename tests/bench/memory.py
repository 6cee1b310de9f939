"""The memory of the worker and its decoders, on recordings of one minute and of hours."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.bench import costs
from tests.bench.figures import Figure
from tests.bench.served import bundled_appliance
from tests.support.appliances import Appliance, wait_for
from tests.support.encoded_files import silent_flac

MEGABYTE = 1e6


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Yield the highest memory for each length, in order, in one worker that has done a recording before."""
    first = 0
    with bundled_appliance(folder / "data") as appliance:
        job_id = appliance.api.make_job("artifacts")
        peak_of(appliance, job_id, folder, 1)
        for minutes in (1, 5) if quick else (1, 60, 360):
            peak = peak_of(appliance, job_id, folder, minutes)
            first = first or peak
            yield Figure(f"memory of worker and decoders, {minutes} min, MB", [peak / MEGABYTE])
            if minutes > 1:
                yield Figure(f"memory, {minutes} min ÷ 1 min", [peak / first], "≤ 1.05")


def peak_of(appliance: Appliance, job_id: str, folder: Path, minutes: int) -> int:
    """Return the highest memory of the worker and its decoders while they analyse silence of this length."""
    content = silent_flac(folder / f"{minutes}.flac", 60 * minutes).read_bytes()
    with costs.peak_memory(appliance.pid("worker")) as peak:
        file_id = appliance.api.send(job_id, content, name="long.flac", content_type="audio/flac")
        wait_for(partial(ended, appliance, job_id, file_id), 36_000, every_seconds=1.0)
    return peak[0]


def ended(appliance: Appliance, job_id: str, file_id: str) -> bool:
    """Return whether the file has ended."""
    file = appliance.api.file(job_id, file_id)
    assert file["status"] != "failed", file
    return bool(file["status"] == "completed")
