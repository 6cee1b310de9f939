"""``python -m tests.support.toy_trainer JOB_ID``: the process that trains, with a training that waits and counts.

Each phase notes that it began, waits until the workspace has a file ``go-PHASE``, and leaves a file, by which the next
process knows that it is over. A file ``refuse`` makes it refuse, and ``hog`` makes it take a gigabyte. The model is the
toy model of the tests.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from appliance.config import Settings
from appliance.engine.models.store import ModelStore
from appliance.engine.training.request import Phase, TrainingReport, TrainingRequest
from appliance.errors import Stopped, TrainingRefused
from appliance.services.box import Box
from appliance.state.database import Database
from appliance.worker.trainer import main
from tests.support import toy_models


def train(
    request: TrainingRequest,
    workspace: Path,
    progress: Callable[[Phase, float], None],
    is_cancelled: Callable[[], bool],
) -> TrainingReport:
    for phase in get_args(Phase):
        if (workspace / f"done-{phase}").exists():
            continue
        with (workspace / "begun").open("a") as log:
            log.write(f"{phase}\n")
        progress(phase, 0.5)
        while not (workspace / f"go-{phase}").exists():
            if is_cancelled():
                raise Stopped("The training was stopped.")
            time.sleep(0.01)
        if (workspace / "refuse").exists():
            raise TrainingRefused("labels: 'knock' is one recording in many copies.")
        if (workspace / "hog").exists():
            bytearray(1024**3)
        (workspace / f"done-{phase}").touch()
    model = toy_models.frame_model(workspace, request.name, request.version)
    return TrainingReport({"begun": (workspace / "begun").read_text().split()}, model)


def open_box(settings: Settings) -> Box:
    """The box of the test, without storage."""
    return Box(settings, Database.of(settings), None, ModelStore(settings.model_store))  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], train, open_box))
