"""``python -m appliance.worker [NUMBER COUNT]``: the worker process, or one of several."""

from __future__ import annotations

import fcntl
import os
import signal
import sys

import structlog

from appliance.config import Settings, load_settings
from appliance.engine.models.runtime import choose_provider, why_no_cuda
from appliance.errors import ApplianceError
from appliance.log import configure_logging
from appliance.services.box import open_box
from appliance.services.pulse import worker_name
from appliance.worker.gpu import watch_gpus
from appliance.worker.worker import Worker, prepare_folder

log = structlog.get_logger()


def main() -> int:
    """Work until SIGTERM or SIGINT. Returns 1 if a new process is needed, 2 if a new one would fail too."""
    settings = load_settings()
    number, count = map(int, sys.argv[1:3] or (1, 1))
    configure_logging(settings.log_level, worker_name(number))
    try:
        return serve(settings, number, count)
    except ApplianceError as error:
        log.error("worker cannot start", code=error.code, error=str(error))
        return 2


def serve(settings: Settings, number: int, count: int) -> int:
    """Choose the provider and work. Returns as ``main`` does."""
    provider = choose_provider(settings.provider)
    if provider == "cpu" and settings.provider == "auto":
        log.warning("models run on the CPU", reason=why_no_cuda())
    if number == 1:
        watch_gpus()  # all of them
    prepare_folder(settings.data_dir)
    with (settings.data_dir / f"{worker_name(number)}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # wait for a predecessor that is still ending
        lanes = settings.decoders or max(2, len(os.sched_getaffinity(0)) // count)
        worker = Worker(open_box(settings), provider, lanes, number, count)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: worker.stop())
        return 0 if worker.run() else 1


if __name__ == "__main__":
    sys.exit(main())
