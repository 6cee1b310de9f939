"""The worker: one process that owns the accelerator.

The main thread claims files and hands each to a lane, a thread with a decoder process of its own; the lanes of one
model share a scorer. A heartbeat keeps the leases, a sweep does what time alone brings about.
"""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from appliance.engine.decoders import DecodeLimits, Decoder
from appliance.engine.detector import Analysis, analyse
from appliance.engine.session import Provider
from appliance.errors import (
    ApplianceError,
    AudioError,
    DatabaseBusy,
    DecoderDied,
    LeaseLost,
    ModelError,
    ScoringFailed,
    StorageError,
    StorageUnavailable,
)
from appliance.services import processing
from appliance.services.box import Box
from appliance.services.processing import Task
from appliance.services.sweep import sweep
from appliance.state.work import Work
from appliance.worker.scorers import Scorers

log = structlog.get_logger()


class Stopped(ApplianceError):
    """The worker was asked to stop; the file goes back to the queue as it was."""

    code = "stopped"


class Worker:
    """Takes files from the queue until told to stop."""

    def __init__(self, box: Box, provider: Provider, lanes: int) -> None:
        self.id = str(uuid.uuid4())
        self._box = box
        self._provider = provider
        self._scorers = Scorers(box, provider)
        self._lanes = ThreadPoolExecutor(lanes, "lane")
        self._free = threading.Semaphore(lanes)
        self._local = threading.local()
        self._active: set[Work] = set()
        self._lost: set[Work] = set()
        self._stopping = threading.Event()
        self._failed = False

    def stop(self) -> None:
        """Ask for the end; files in progress go back to the queue."""
        self._stopping.set()

    def run(self) -> bool:
        """Work until stopped. False where the accelerator failed, so that a fresh process is needed."""
        processing.start_worker(self._box, self.id, self._provider)
        self._scorers.load_default()
        helpers = [
            threading.Thread(target=self._repeat, args=(self._heartbeat, self._box.settings.lease_seconds / 3)),
            threading.Thread(target=self._repeat, args=(self._sweep, self._box.settings.sweep_seconds)),
        ]
        for thread in helpers:
            thread.start()
        log.info("worker started", worker=self.id, provider=self._provider)
        try:
            while not self._stopping.is_set():
                self._free.acquire()
                if not self._stopping.is_set():
                    self._dispatch()
        finally:
            self.stop()
            self._lanes.shutdown()
            for thread in helpers:
                thread.join()
            self._scorers.close()
        return not self._failed

    def _dispatch(self) -> None:
        """Claim one file for a lane that is free, or wait a little."""
        try:
            task = processing.claim(self._box, self.id)
        except ApplianceError as error:
            log.error("claim failed", code=error.code, error=str(error))
            task = None
        if task is None:
            self._free.release()
            self._stopping.wait(self._box.settings.poll_seconds)
            return
        self._active.add(task.work)
        self._lanes.submit(self._lane, task)

    def _lane(self, task: Task) -> None:
        try:
            self._process(task)
        except LeaseLost as error:
            log.warning("lease lost", file=task.file.id, error=str(error))
        except Exception as error:  # its lease runs out, and the file is tried again
            log.error("file left behind", file=task.file.id, exc_info=error)
        finally:
            self._active.discard(task.work)
            self._free.release()

    def _process(self, task: Task) -> None:
        started = time.monotonic()
        try:
            analysis = self._analyse(task)
        except LeaseLost:
            raise
        except DecoderDied as error:
            processing.retry(self._box, task, error, counts=True)
        except (Stopped, StorageUnavailable, DatabaseBusy) as error:
            processing.retry(self._box, task, error, counts=False)
        except ScoringFailed as error:
            if self._provider == "cuda":  # a device that failed once may not recover within this process
                self._failed = True
                self.stop()
            processing.retry(self._box, task, error, counts=True)
        except (AudioError, ModelError, StorageError) as error:
            processing.fail(self._box, task, error)
            log.info("file failed", file=task.file.id, code=error.code)
        except Exception as error:
            log.error("file broke the worker's code", file=task.file.id, exc_info=error)
            reason = ApplianceError(f"The appliance failed on this file: {type(error).__name__}.")
            processing.retry(self._box, task, reason, counts=not isinstance(error, OSError))
        else:
            processing.complete(self._box, task, analysis.duration_ms, analysis.detections)
            took = round(time.monotonic() - started, 3)
            log.info("file completed", file=task.file.id, audio_ms=analysis.duration_ms, took_seconds=took)

    def _analyse(self, task: Task) -> Analysis:
        def checkpoint(_: float) -> None:
            if self._stopping.is_set():
                raise Stopped("The worker stops.")
            if task.work in self._lost:
                raise LeaseLost(f"File {task.file.id} was taken over or cancelled.")

        scorer = self._scorers.get(task.model)
        folder = self._box.settings.data_dir / "tmp"
        with tempfile.TemporaryFile(dir=folder) as file:  # unlinked: nothing stays behind after a crash
            self._box.objects.fetch(task.file.object_key, task.file.etag or "", file)
            file.flush()
            checkpoint(0.0)
            return analyse(file, self._decoder(), scorer, task.config, checkpoint)

    def _decoder(self) -> Decoder:
        if not hasattr(self._local, "decoder"):
            self._local.decoder = Decoder(DecodeLimits.from_settings(self._box.settings))
        decoder: Decoder = self._local.decoder
        return decoder

    def _heartbeat(self) -> None:
        active = set(self._active)  # before asking: what is claimed meanwhile must not count as lost
        held = processing.heartbeat(self._box, self.id, active)
        self._lost = active - held

    def _sweep(self) -> None:
        sweep(self._box)

    def _repeat(self, action: Callable[[], None], seconds: float) -> None:
        while not self._stopping.wait(seconds):
            try:
                action()
            except ApplianceError as error:
                log.error("background step failed", step=action.__name__, code=error.code, error=str(error))
            except Exception as error:
                log.error("background step failed", step=action.__name__, exc_info=error)


def prepare_folder(data_dir: Path) -> None:
    """Make the folder for recordings in progress."""
    (data_dir / "tmp").mkdir(parents=True, exist_ok=True, mode=0o700)
