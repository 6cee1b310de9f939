"""How a graph uses the cores best on this machine: measured once, then kept.

Usually one call for each core, on one thread, is fastest: the threads of a call wait for each other at every operator.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from appliance.config import Settings
from appliance.engine.models.runtime import RUNTIME_VERSION
from appliance.engine.models.session import Parallel, Session, Slot, num_cores
from appliance.engine.models.store import StoredModel

log = structlog.get_logger()

FILE = "calibration.json"
SECONDS_EACH = 0.5  # after one call to warm up
LEAST_GAIN = 1.1  # other programs disturb the measurement, so the default must be clearly slower to be left


@dataclass(frozen=True)
class Calibration:
    """What was measured: the best choice, and the windows per second of every choice."""

    best: Parallel
    windows_per_second: dict[Parallel, float]


def parallel_of(settings: Settings, model: StoredModel) -> Parallel:
    """Return how a model uses the cores: as set by hand, else as measured earlier, else by default."""
    kept = None if _is_set(settings) else kept_calibration(settings.data_dir, model, settings.batch_size)
    return kept.best if kept else Parallel.of(settings.scoring_calls, settings.scoring_threads)


def calibrate(settings: Settings, model: StoredModel) -> Parallel:
    """Return what ``parallel_of`` returns, but measure it if it is neither set nor measured and there is a choice.

    Raises InvalidManifest if the graph does not load, ScoringFailed if it does not run.
    """
    if _is_set(settings) or num_cores() == 1:
        return parallel_of(settings, model)
    return calibrated(settings.data_dir, model, settings.batch_size).best


def _is_set(settings: Settings) -> bool:
    return bool(settings.scoring_calls or settings.scoring_threads)


def choices(cores: int) -> list[Parallel]:
    """Return what is worth a try, the default first: one call for each core, for each two cores and so on."""
    threads = [2**power for power in range(cores.bit_length()) if 2**power < cores]
    return [Parallel(cores // count, count) for count in (*threads, cores)]


def calibrated(folder: Path, model: StoredModel, batch_size: int) -> Calibration:
    """Return what ``folder`` keeps for this model, machine and runtime, or measure it and keep it.

    Raises InvalidManifest if the graph does not load, ScoringFailed if it does not run.
    """
    kept = kept_calibration(folder, model, batch_size)
    if kept:
        return kept
    speeds = {choice: _windows_per_second(model, batch_size, choice) for choice in choices(num_cores())}
    default, fastest = next(iter(speeds)), max(speeds, key=speeds.__getitem__)
    best = fastest if speeds[fastest] >= LEAST_GAIN * speeds[default] else default
    log.info("cores calibrated", model=model.manifest.id, calls=best.calls, threads=best.threads)
    _keep(folder / FILE, _key(model, batch_size), Calibration(best, speeds))
    return Calibration(best, speeds)


def kept_calibration(folder: Path, model: StoredModel, batch_size: int) -> Calibration | None:
    """Return what was measured earlier; None if nothing was, or not for this model, machine and runtime."""
    try:
        content = json.loads((folder / FILE).read_text())
        if content["for"] != _key(model, batch_size):
            return None
        speeds = {Parallel(row["calls"], row["threads"]): float(row["windows_per_second"]) for row in content["speeds"]}
        best = Parallel(content["calls"], content["threads"])
        return Calibration(best, speeds) if best in speeds else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _key(model: StoredModel, batch_size: int) -> dict[str, str | int]:
    checksums = ",".join(expected for _, expected in model.checksums.values())
    return {
        "model": model.manifest.id,
        "sha256": hashlib.sha256(checksums.encode()).hexdigest(),
        "batch_size": batch_size,
        "cores": num_cores(),
        "onnxruntime": RUNTIME_VERSION,
    }


def _windows_per_second(model: StoredModel, batch_size: int, parallel: Parallel) -> float:
    session = Session(model, "cpu", batch_size, parallel)
    generator = np.random.default_rng(0)
    for slot in session.slots:
        slot.windows[:] = 0.1 * generator.standard_normal(slot.windows.shape)

    def run(slot: Slot, seconds: float) -> int:
        """Return how many windows were run until the time was over."""
        deadline = time.perf_counter() + seconds
        num_windows = 0
        while not num_windows or time.perf_counter() < deadline:
            slot.run(session.batch_size, session.manifest.output.name)
            num_windows += session.batch_size
        return num_windows

    with ThreadPoolExecutor(session.calls) as pool:
        list(pool.map(run, session.slots, [0.0] * session.calls))
        began = time.perf_counter()
        num_windows = sum(pool.map(run, session.slots, [SECONDS_EACH] * session.calls))
        return round(num_windows / (time.perf_counter() - began), 2)


def _keep(path: Path, key: dict[str, str | int], calibration: Calibration) -> None:
    """Write the file as a whole; a reader never sees a part of it. A disk that is full does not matter."""
    speeds = [
        {"calls": choice.calls, "threads": choice.threads, "windows_per_second": speed}
        for choice, speed in calibration.windows_per_second.items()
    ]
    content = {"calls": calibration.best.calls, "threads": calibration.best.threads, "for": key, "speeds": speeds}
    unfinished = path.with_suffix(".tmp")
    try:
        unfinished.write_text(json.dumps(content, indent=1) + "\n")
        os.replace(unfinished, path)
    except OSError as error:
        log.warning("calibration not kept", error=str(error))
