"""The worker: a process that owns an accelerator. On a machine with several GPUs there is one for each.

The main thread claims work and gives each piece to a lane, a thread with a decoder process of its own; the lanes of one
model share a scorer. Work that only moves bytes has threads of its own, so that it does not wait behind inference; so
have fetches and webhooks, so that a slow machine blocks no lane. What is done in the background, for the learned search
and for a training, has threads of its own too, so that inference does not wait behind it. A heartbeat keeps the leases
and a sweep handles what expires.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models.runtime import Provider
from appliance.errors import (
    ApplianceError,
    AudioError,
    ChangeRefused,
    DecoderDied,
    EngineLost,
    FetchFailed,
    FileTooLarge,
    LeaseLost,
    ModelError,
    NotReady,
    ObjectDamaged,
    QuotaExceeded,
    ScoresNotKept,
    ScoringFailed,
    StateError,
    Stopped,
    StorageError,
    StorageFull,
    StorageUnavailable,
    SubjectGone,
    TrainerDied,
    TrainingRefused,
    UnexpectedStatus,
)
from appliance.log import request_scope
from appliance.metrics import AUDIO_SECONDS, DECODER_DEATHS, WORK
from appliance.services import cluster, exposition
from appliance.services.box import Box
from appliance.services.inference.redetect import REDETECT
from appliance.services.inference.work import INFERENCE
from appliance.services.models import resolve
from appliance.services.pulse import beat, worker_name
from appliance.services.speech.work import TRANSCRIPTION
from appliance.services.work import leases
from appliance.services.work.clock import Clock, move_times
from appliance.services.work.daily import run_due
from appliance.services.work.kinds import KINDS
from appliance.services.work.sweep import sweep
from appliance.state.commits import Commits
from appliance.state.work import Work
from appliance.worker.courier import Courier
from appliance.worker.executor import Executor
from appliance.worker.handlers import HANDLERS
from appliance.worker.lane import Lane
from appliance.worker.local_executor import LocalExecutor
from appliance.worker.outage import Outage
from appliance.worker.pool import Pool, half_of
from appliance.worker.scorers import Scorers

log = structlog.get_logger()
T = TypeVar("T")

MOST_SENT = 2048  # recordings that may be at nodes; each has a thread here that waits
SENT = {INFERENCE.name, REDETECT.name, TRANSCRIPTION.name}  # what the executor may send elsewhere
NOT_OURS = (LeaseLost, SubjectGone, UnexpectedStatus)  # errors after which nothing may be written for the work
# Errors that a further try may not meet, a few times; ChangeRefused breaks a rule, so it is likely to come again.
COUNTED = (DecoderDied, FetchFailed, ObjectDamaged, ScoringFailed, TrainerDied, ChangeRefused)
FATAL = (AudioError, ModelError, StorageError, FileTooLarge, QuotaExceeded, NotReady, ScoresNotKept, TrainingRefused)


class Worker:
    """Takes work from the queue until it is stopped.

    Of ``count`` workers, only the one with the number 1 also does what needs no accelerator.
    """

    def __init__(self, box: Box, provider: Provider, lanes: int, number: int = 1, count: int = 1) -> None:
        self._number = number
        self._count = count
        self.id = str(uuid.uuid4())
        self._box = box
        self._provider = provider
        self._scorers = Scorers(box.settings, partial(resolve, box), provider)
        self._clock = Clock(box.settings.data_dir)
        self._lanes = Pool("lanes", lanes, most=lanes + MOST_SENT if box.settings.executor == "ray" else None)
        self._executor = self._make_executor(lanes)
        self._own_lanes = threading.Semaphore(lanes)  # for the work of lanes that this process does itself
        self._storage = Pool("storage", box.settings.storage_threads)
        self._fetching = Pool("fetch", box.settings.fetch_threads, half_of(box.settings.fetch_threads))
        self._hearing = Pool("hearing", 1)
        self._training = Pool("training", 1)
        self._local = threading.local()
        self._active: dict[Work, threading.Event] = {}  # set when the lease is lost
        self._stopping = threading.Event()
        self._commits = Commits.of(box.db)
        self._outage = Outage("work", first_seconds=leases.RETRY_SECONDS)
        self._failed = False

    def _make_executor(self, lanes: int) -> Executor:
        if self._box.settings.executor == "local":
            return LocalExecutor(self._scorers)
        # Ray is loaded only by a box that has nodes, and reads these as it is loaded.
        os.environ.update(cluster.environment(cluster.token_file(self._box.settings.data_dir)))
        from appliance.worker.remote_executor import RemoteExecutor

        return RemoteExecutor(self._box, lambda room: self._lanes.resize(lanes + min(room, MOST_SENT)))

    def stop(self) -> None:
        """Request the end; work in progress goes back to the queue."""
        self._stopping.set()

    def run(self) -> bool:
        """Work until stopped. Returns False if the accelerator failed, so that a new process is needed."""
        # A daemon: a worker that cannot start must end.
        beat_seconds = self._box.settings.hang_seconds / 8
        threading.Thread(target=self._repeat, args=(self._beat, beat_seconds), daemon=True).start()
        leases.start_worker(self._box, self.id, self._provider, self._number, self._count)
        if self._number == 1:
            self._clock.follow(self._box)  # it may have been set while no worker ran,
            move_times(self._box, 0.0)  # or while the machine was off
        self._executor.start()
        helpers = [
            threading.Thread(target=self._repeat, args=(self._heartbeat, self._box.settings.lease_seconds / 3)),
            threading.Thread(target=self._repeat, args=(self._write_metrics, exposition.WRITE_SECONDS)),
        ]
        courier = Courier(self._box, self.id, self._stopping)
        if self._number == 1:
            helpers += [
                threading.Thread(target=self._repeat, args=(self._sweep, self._box.settings.sweep_seconds)),
                threading.Thread(target=self._repeat, args=(self._do_chores, self._box.settings.sweep_seconds)),
                threading.Thread(target=self._serve_beside, args=(self._storage,)),
                threading.Thread(target=self._serve_beside, args=(self._fetching,)),
                threading.Thread(target=self._serve_beside, args=(self._hearing,)),
                threading.Thread(target=self._serve_beside, args=(self._training,)),
            ]
            courier.start()
        for thread in helpers:
            thread.start()
        log.info("worker started", worker=self.id, provider=self._provider, number=self._number)
        try:
            self._try_suspects()
            self._serve(self._lanes)
        finally:
            for thread in helpers:
                thread.join()
            self._executor.close()
            self._scorers.close()
            self._commits.close()
            if self._number == 1:
                courier.join()
        return not self._failed

    def _serve(self, pool: Pool) -> None:
        """Give work to a pool until the worker stops, then wait for the work in progress."""
        try:
            while not self._stopping.is_set():
                count = pool.reserve()
                if not self._stopping.is_set():
                    self._dispatch(pool, count)
        finally:
            self.stop()
            pool.close()

    def _try_suspects(self) -> None:
        """Do alone, before all other work of the lanes, what was in progress at several deaths of a worker."""
        while not self._stopping.is_set() and (work := self._claimed(self._claim_suspect, self._lanes, None)):
            log.warning("work is tried alone", kind=work.kind, subject=work.subject_id, lost_leases=work.lost_leases)
            self._active[work] = threading.Event()
            self._work(work)

    def _serve_beside(self, pool: Pool) -> None:
        try:
            self._serve(pool)
        except Exception as error:  # as on the main thread, this ends the worker, and the supervisor starts a new one
            log.error("the worker cannot go on", exc_info=error)
            self._failed = True
            self.stop()

    def _claim_suspect(self) -> Work | None:
        return leases.claim_suspect(self._box, self.id)

    def _dispatch(self, pool: Pool, count: int) -> None:
        """Claim work for ``count`` reserved threads, or wait a little if there is none."""
        claim = partial(leases.claim_many, self._box, self.id, pool.name, count, tenant_limit=pool.tenant_limit)
        works = self._claimed(claim, pool, list[Work]())
        pool.release(count - len(works))
        for work in works:
            self._active[work] = threading.Event()
            pool.submit(self._work, work)
        if works:
            return
        if pool is self._lanes:
            with suppress(StateError):  # the next claim meets it too
                self._commits.wait(self._box.settings.poll_seconds, self._stopping)
        else:
            self._stopping.wait(self._box.settings.poll_seconds)

    def _claimed(self, claim: Callable[[], T], pool: Pool, nothing: T) -> T:
        """Return what was claimed for a pool. Returns ``nothing``, after a wait, if that failed."""
        try:
            claimed = claim()
        except ApplianceError as error:
            self._stopping.wait(pool.claims.failed(error))
            return nothing
        pool.claims.ended()
        return claimed

    def _work(self, work: Work) -> None:
        with request_scope(work.request_id):
            self._work_in_scope(work)

    def _work_in_scope(self, work: Work) -> None:
        names = {"kind": work.kind, "subject": work.subject_id}
        try:
            self._handle(work)
        except NOT_OURS as error:
            log.warning("result not written", **names, code=error.code, error=str(error))
        except ApplianceError as error:  # the database failed; work is retried when its lease expires
            self._outage.failed(error)
        except Exception as error:
            log.error("unexpected error; work is retried when its lease expires", **names, exc_info=error)
        finally:
            del self._active[work]

    def _handle(self, work: Work) -> None:
        names = {"kind": work.kind, "subject": work.subject_id}
        lane = Lane(self._box, work, self._decoder(), self._scorers, self._executor, self._stopping, self._active[work])
        started = time.monotonic()
        try:
            waits = KINDS[work.kind].pool == "lanes" and work.kind not in SENT
            with self._own_lanes if waits else nullcontext():
                HANDLERS[work.kind](lane)
            self._outage.ended()
            WORK.labels(work.kind, lane.meter.model, "completed").inc()
            AUDIO_SECONDS.labels(work.kind, lane.meter.model).inc(lane.meter.audio_ms / 1000)
            log.info("work done", **names, took_seconds=round(time.monotonic() - started, 3))
        except NOT_OURS:
            raise
        except Exception as error:
            result = self._end(work, error)
            WORK.labels(work.kind, lane.meter.model, result).inc()

    def _end(self, work: Work, error: Exception) -> str:
        """Decide what follows an error: another try that counts, one later that does not, or none.

        Returns ``retried``, or the code of the error if the work was given up.
        """
        again = True
        if isinstance(error, DecoderDied):
            DECODER_DEATHS.inc()
        if StorageFull.is_cause_of(error):
            error = StorageFull(f"The disk of the appliance is full: {error}.")
        if isinstance(error, COUNTED):
            if isinstance(error, ScoringFailed) and self._provider == "cuda":
                self._failed = True  # a device that failed may not recover in this process
                self.stop()
            again = leases.retry(self._box, work, error, counts=True)
        elif isinstance(error, (Stopped, EngineLost)):
            again = leases.retry(self._box, work, error, counts=False)
        elif isinstance(error, (StorageUnavailable, StateError)):
            self._retry_later(work, error)
        elif isinstance(error, FATAL):
            leases.fail(self._box, work, error)
            again = False
            log.info("work failed", kind=work.kind, subject=work.subject_id, code=error.code)
        else:
            log.error("handler raised an unexpected exception", kind=work.kind, subject=work.subject_id, exc_info=error)
            reason = ApplianceError(f"The appliance failed on this file: {type(error).__name__}.")
            again = leases.retry(self._box, work, reason, counts=not isinstance(error, OSError))
            error = reason
        return "retried" if again else str(getattr(error, "code", ""))

    def _retry_later(self, work: Work, error: ApplianceError) -> None:
        delay_seconds = self._outage.failed(error)
        leases.retry(self._box, work, error, counts=False, delay_seconds=delay_seconds)

    def _decoder(self) -> Decoder:
        if not hasattr(self._local, "decoder"):
            self._local.decoder = Decoder(DecodeLimits.from_settings(self._box.settings))
        decoder: Decoder = self._local.decoder
        return decoder

    def _beat(self) -> None:
        """Give a sign of life, unless a model has been called and has not answered: only a new process helps then."""
        if self._scorers.longest_call_seconds() < self._box.settings.hang_seconds:
            beat(self._box.settings.data_dir, self._number)

    def _heartbeat(self) -> None:
        active = dict(self._active)  # copied first: work that is claimed meanwhile must not count as lost
        kept = leases.heartbeat(self._box, self.id, active)
        for work in active.keys() - kept:
            active[work].set()

    def _write_metrics(self) -> None:
        exposition.write(self._box.settings.data_dir, worker_name(self._number))

    def _sweep(self) -> None:
        self._clock.follow(self._box)  # before the sweep, which judges uploads by their times
        sweep(self._box)

    def _do_chores(self) -> None:
        run_due(self._box, self._stopping)

    def _repeat(self, action: Callable[[], None], seconds: float) -> None:
        outage = Outage(action.__name__, first_seconds=seconds)
        while not self._stopping.wait(seconds):
            try:
                action()
                outage.ended()
            except Exception as error:
                outage.failed(error)


def prepare_folder(data_dir: Path) -> None:
    """Make the folders for temporary files of work in progress, and for the worker's sign of life."""
    for folder in ("tmp", "run"):
        (data_dir / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
