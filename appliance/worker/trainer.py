"""``python -m appliance.worker.trainer JOB_ID``: the process that trains, which the worker starts and listens to.

It says a JSON object a line: ``phase`` and ``share`` as it goes, and at its end ``report`` and ``model``, or ``error``,
which is a code, and ``message``. It ends when its input closes, so that it never outlives the worker.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from appliance.config import Settings, load_settings
from appliance.engine.training.request import Phase, TrainingReport, TrainingRequest
from appliance.errors import (
    AudioError,
    DecoderDied,
    ModelError,
    StateError,
    Stopped,
    StorageFull,
    StorageUnavailable,
    TrainingRefused,
)
from appliance.log import configure_logging
from appliance.services.box import Box, open_box
from appliance.services.training import work as training_work

LOWEST = 19
# What the worker is to know of an error. Whatever else happens is tried again, a few times.
KNOWN = (TrainingRefused, StorageFull, StorageUnavailable, StateError, Stopped, ModelError)

log = structlog.get_logger()

Train = Callable[[TrainingRequest, Path, Callable[[Phase, float], None], Callable[[], bool]], TrainingReport]


def main(job_id: str, train: Train, open_box: Callable[[Settings], Box] = open_box) -> int:
    """Train, and say how it went. Returns 0 if there is a model."""
    _come_last()
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    threading.Thread(target=_end_with_input, daemon=True).start()
    settings = load_settings()
    limit = settings.training_memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))  # features in mapped files are no data
    configure_logging(settings.log_level, "training")
    box = open_box(settings)
    workspace = training_work.workspace_of(box, job_id)
    with (workspace / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # wait for a predecessor that is still ending
        try:
            request = training_work.request_of(box, training_work.load_job(box, job_id))
            result = train(request, workspace, _say_progress, stopping.is_set)
        except Exception as error:
            if isinstance(error, MemoryError):
                error = TrainingRefused(f"The training needs more than {limit} bytes (training_memory_bytes).")
            _say(**_named(error))
            return 1
    _say(report=result.report, model=str(result.model))
    return 0


def _come_last() -> None:
    """Leave the processor to everything else."""
    os.nice(LOWEST)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # nice alone lets it end its turn before inference
    # Both count only within a session if Linux shares the processor between sessions (sched_autogroup): beside
    # the API, storage and the front door, which have sessions of their own, it would get half of a core.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(LOWEST))


def _named(error: Exception) -> dict[str, Any]:
    """Return the code and the message that the worker is to know. An error that it does not know is tried again."""
    if StorageFull.is_cause_of(error):
        error = StorageFull(f"The disk of the appliance is full: {error}.")
    if isinstance(error, AudioError) and not isinstance(error, DecoderDied):
        error = TrainingRefused(f"A recording cannot be read: {error}")
    code = next((kind.code for kind in KNOWN if isinstance(error, kind)), None)
    if code is None:
        log.error("the training failed", exc_info=error)
    return {"error": code, "message": f"{type(error).__name__}: {error}" if code is None else str(error)}


def _say_progress(phase: Phase, share: float) -> None:
    _say(phase=phase, share=share)


def _say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    from appliance.engine.training.run import train  # the tests train a toy instead

    sys.exit(main(sys.argv[1], train))
