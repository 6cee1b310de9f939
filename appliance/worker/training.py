"""Trains in a process of its own, at the lowest priority: inference goes first.

The process ends with the worker, whatever ends that. Its files stay, so that the next one goes on after the last phase.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance import ROOT
from appliance.errors import InvalidManifest, ModelError, TrainerDied, TrainingRefused
from appliance.services.training import work as training_work
from appliance.worker.lane import Lane
from appliance.worker.trainer import KNOWN

PROGRAM = ("-m", "appliance.worker.trainer")
LOOK_SECONDS = 0.2
NOTE_SECONDS = 1.0  # between two notes of the progress of one phase
STOP_SECONDS = 5.0
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def train(lane: Lane) -> None:
    """Run a training, and give the model to its tenant.

    Raises LeaseLost if it was cancelled, Stopped, TrainingRefused, TrainerDied, StorageFull, ModelError.
    """
    box = lane.box
    job = training_work.load_job(box, lane.work.subject_id)
    lane.meter.model = job.base_model
    workspace = training_work.workspace_of(box, job.id)
    workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        answer = _run(lane, job.id)
        training_work.complete(box, lane.work, answer["report"], Path(answer["model"]))
    except InvalidManifest as error:
        raise ModelError(f"The model that was made cannot be used: {error}") from error
    finally:
        training_work.tidy(box)


def _run(lane: Lane, job_id: str) -> dict[str, Any]:
    """Return the last line of the process. Raises what its error stands for."""
    deadline = time.monotonic() + lane.box.settings.training_seconds
    noted, noted_at = "", 0.0
    with subprocess.Popen(
        [sys.executable, "-s", *PROGRAM, job_id],
        env=os.environ | dict.fromkeys(ONE_THREAD, "1"),
        cwd=ROOT,
        stdin=subprocess.PIPE,  # it ends when this closes
        stdout=subprocess.PIPE,
        start_new_session=True,  # Linux may share the processor between sessions; it is the last of them too
    ) as process:
        try:
            for line in _lines(process):
                lane.checkpoint()
                if time.monotonic() > deadline:
                    raise TrainingRefused(
                        f"The training took longer than {lane.box.settings.training_seconds:g} s (training_seconds)."
                    )
                if "error" in line:
                    raise _error(line)
                if "report" in line:
                    return line
                if "phase" in line and (line["phase"] != noted or time.monotonic() - noted_at > NOTE_SECONDS):
                    training_work.note_progress(lane.box, lane.work, line["phase"], line["share"])
                    noted, noted_at = line["phase"], time.monotonic()
        finally:
            _end(process)
    raise TrainerDied(f"The process that trains ended with status {process.returncode}.")


def _lines(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Yield what the process says, a line each, until it ends; an empty line of its own if it says nothing."""
    assert process.stdout
    rest, looks = b"", select.poll()
    looks.register(process.stdout, select.POLLIN)
    while True:
        if not looks.poll(1000 * LOOK_SECONDS):
            yield {}
            continue
        block = os.read(process.stdout.fileno(), 65_536)
        if not block:
            return
        *lines, rest = (rest + block).split(b"\n")
        yield from (json.loads(line) for line in lines if line)


def _error(line: dict[str, Any]) -> Exception:
    kinds = {kind.code: kind for kind in KNOWN}
    return kinds.get(line["error"], TrainerDied)(line["message"])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process: it stops by itself where it can go on later, or is killed."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
