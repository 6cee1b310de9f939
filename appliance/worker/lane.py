"""What the handlers of the worker work with: a decoder, the scorers, and whether to go on."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from appliance.engine.decode.decoder import Decoder
from appliance.errors import ApplianceError, LeaseLost
from appliance.services.box import Box
from appliance.state.work import Work
from appliance.worker.scorers import Scorers


class Stopped(ApplianceError):
    """The worker was asked to stop; the file goes back to the queue as it was."""

    code = "stopped"


@dataclass(frozen=True)
class Lane:
    """One piece of work in progress on one thread."""

    box: Box
    work: Work
    decoder: Decoder
    scorers: Scorers
    stopping: threading.Event
    lost: threading.Event

    def checkpoint(self, _: float = 0.0) -> None:
        """Called again and again while work is done. Raises Stopped, LeaseLost."""
        if self.stopping.is_set():
            raise Stopped("The worker stops.")
        if self.lost.is_set():
            raise LeaseLost(f"{self.work.kind} {self.work.subject_id} was taken over or cancelled.")

    @contextmanager
    def scratch(self) -> Iterator[BinaryIO]:
        """An unlinked file on the data folder's disk: nothing stays behind after a crash."""
        with tempfile.TemporaryFile(dir=self.box.settings.data_dir / "tmp") as file:
            yield file

    @contextmanager
    def fetched(self, key: str, etag: str | None) -> Iterator[BinaryIO]:
        """An object's bytes as a file. Raises ObjectMissing; ObjectChanged where its tag is not ``etag``."""
        with self.scratch() as file:
            self.box.objects.fetch(key, etag or self.box.objects.stat(key).etag, file)
            file.flush()
            self.checkpoint()
            yield file


def sha256_of(file: BinaryIO) -> str:
    """The checksum of a whole file."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
