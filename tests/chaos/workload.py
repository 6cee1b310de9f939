"""The workload whose writes are recorded: files of jobs and of a batch, through all their statuses.

``python -m tests.chaos.workload DATA_FOLDER MODELS ACKNOWLEDGED`` adds a line to the file ACKNOWLEDGED for each promise
to a client, as soon as the promise holds. So the recording shows which writes came before it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import cast

from appliance.engine.scoring.events import Detection
from appliance.services.box import Box
from appliance.services.inference import work as inference_work
from appliance.services.speech import batch_uploads
from appliance.services.speech.durations import Durations
from tests.services.speech.arrivals import Incoming
from tests.support.boxes import CALLBACK, DictionaryStore, claim, make_box, new_file, new_job

DETECTIONS = [Detection("loud", 1, 2, 0.5)]
NUM_FILES = 40  # enough that SQLite copies its log into the database on the way
NUM_BATCHES = 4
# A promise names the table, the row, and the statuses that keep it.
AFTER_CONFIRM = ("queued", "processing", "completed")
AFTER_ACCEPT = ("spooled", "stored")


class UnknownDurations:
    """In place of the process that reads headers."""

    def estimate_seconds(self, path: Path) -> float | None:
        """Return None, as for a file without a header."""
        return None


class Acknowledgements:
    """The file of promises. A line is one write."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def add(self, table: str, row_id: str, statuses: tuple[str, ...]) -> None:
        """Add a promise."""
        os.write(self._descriptor, (json.dumps([table, row_id, statuses]) + "\n").encode())


def run(box: Box, acknowledgements: Acknowledgements) -> None:
    """Do the work of clients and of a worker, in turns."""
    job_id = new_job(box, CALLBACK)
    for number in range(NUM_FILES):
        file_id = new_file(box, job_id)
        acknowledgements.add("inference_files", file_id, AFTER_CONFIRM)
        if number % 3:
            work = claim(box, "inference")
            inference_work.complete(box, work, 1000, DETECTIONS)
            acknowledgements.add("inference_files", work.subject_id, ("completed",))
        if number % (NUM_FILES // NUM_BATCHES) == 0:
            _batch(box, acknowledgements)


def _batch(box: Box, acknowledgements: Acknowledgements) -> None:
    accepted = batch_uploads.accept(box, cast(Durations, UnknownDurations()), 1, [Incoming(), Incoming()])
    for media in accepted.files:
        acknowledgements.add("media", media.id, AFTER_ACCEPT)
    work = claim(box, "store")
    batch_uploads.store(box, work)
    acknowledgements.add("media", work.subject_id, ("stored",))


if __name__ == "__main__":
    data_dir, models, acknowledged = map(Path, sys.argv[1:])
    run(make_box(data_dir, models, DictionaryStore()), Acknowledgements(acknowledged))
