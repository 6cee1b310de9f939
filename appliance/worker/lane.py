"""A lane: what a handler gets to do its work with."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from appliance.engine.decode.decoder import Decoder
from appliance.errors import LeaseLost, Stopped
from appliance.metrics import stage
from appliance.services.box import Box
from appliance.services.damage import damage_noticed
from appliance.state.work import Work
from appliance.worker.scorers import Scorers

if TYPE_CHECKING:
    from appliance.worker.executor import Executor


@dataclass
class Meter:
    """What the work turned out to be: the id of its model, and how much audio it analyzed."""

    model: str = ""
    audio_ms: int = 0


@dataclass(frozen=True)
class Lane:
    """One piece of work in progress on one thread, with a decoder and the models. Recordings of jobs go
    to the executor.

    ``stopping`` is set when the worker stops, ``lost`` when the lease on the work is lost.
    """

    box: Box
    work: Work
    decoder: Decoder
    scorers: Scorers
    executor: Executor
    stopping: threading.Event
    lost: threading.Event
    meter: Meter = field(default_factory=Meter)

    def checkpoint(self, _: float = 0.0) -> None:
        """Check whether to go on; the engine calls this after every block. Raises Stopped, LeaseLost."""
        if self.stopping.is_set():
            raise Stopped("The worker is stopping.")
        if self.lost.is_set():
            raise LeaseLost(f"{self.work.kind} {self.work.subject_id} was claimed by another worker, or cancelled.")

    @contextmanager
    def scratch(self) -> Iterator[BinaryIO]:
        """Open an unlinked file on the data folder's disk: nothing stays behind after a crash."""
        with tempfile.TemporaryFile(dir=self.box.settings.data_dir / "tmp") as file:
            yield file

    @contextmanager
    def fetched(self, key: str, etag: str | None) -> Iterator[BinaryIO]:
        """Open an object as a local file.

        Raises ObjectMissing, ObjectChanged if its tag is not ``etag``, and ObjectDamaged if storage works and yet
        cannot read it.
        """
        with self.scratch() as file:
            with stage("fetch"), damage_noticed(self.box, key):
                self.box.objects.fetch(key, etag or self.box.objects.stat(key).etag, file)
            file.flush()
            self.checkpoint()
            yield file


def sha256_of(file: BinaryIO) -> str:
    """Return the SHA-256 of a whole file in hexadecimal."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
