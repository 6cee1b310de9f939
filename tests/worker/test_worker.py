"""The worker with real decoders, a real model and real SQLite. Objects are in a dictionary."""

from __future__ import annotations

import builtins
import io
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest
import soundfile

from appliance.config import Settings
from appliance.engine.models.runtime import Provider
from appliance.engine.models.session import Slot
from appliance.engine.models.store import ModelStore
from appliance.engine.scoring.events import Detection, DetectionConfig
from appliance.engine.scoring.scorer import Scorer
from appliance.errors import (
    ApplianceError,
    DatabaseBusy,
    DecoderDied,
    LeaseLost,
    ObjectChanged,
    ObjectMissing,
    ScoringFailed,
    StorageUnavailable,
)
from appliance.services.box import Box
from appliance.services.inference import files as inference_file_service
from appliance.services.inference import jobs as inference_jobs
from appliance.services.inference import work as inference_work
from appliance.services.pulse import pulse_file
from appliance.services.work import leases
from appliance.services.work.sweep import sweep
from appliance.state import chores, inference_files
from appliance.state.database import Database
from appliance.state.inference_files import InferenceFile
from appliance.state.work import Work
from appliance.storage.objects import ObjectInfo, ObjectStore, StoredKey, UnendedUpload
from appliance.worker.worker import Worker, prepare_folder
from tests.support.appliances import PATIENCE_SECONDS, wait_for
from tests.support.toy_recordings import LOUD_DURATION_MS, loud_wav

pytestmark = pytest.mark.slow  # each test starts decoder processes
FAST = {"poll_seconds": 0.02, "sweep_seconds": 0.05, "lease_seconds": 6.0, "scoring_calls": 2}


class Objects:
    """Objects in a dictionary, and the errors that the next reads raise."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.errors: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.reads = 0
        self.is_ready = False

    def ready(self) -> bool:
        return self.is_ready

    def stat(self, key: str) -> ObjectInfo:
        if key not in self.contents:
            raise ObjectMissing(f"There is no object {key}.")
        return ObjectInfo(len(self.contents[key]), "tag")

    def list(self, prefix: str, limit: int, after: str = "") -> list[StoredKey]:
        return [StoredKey(key, 0.0) for key in sorted(self.contents) if key.startswith(prefix) and key > after][:limit]

    def list_unended(self, before: float) -> builtins.list[UnendedUpload]:
        return []

    def put(self, key: str, data: BinaryIO, *, size_bytes: int, content_type: str) -> ObjectInfo:
        self.contents[key] = data.read(size_bytes)
        return ObjectInfo(size_bytes, "tag")

    def delete(self, key: str) -> None:
        self.contents.pop(key, None)

    def fetch(self, key: str, etag: str, file: BinaryIO) -> None:
        self.reads += 1
        assert self.gate.wait(PATIENCE_SECONDS)
        if self.errors:
            raise self.errors.pop(0)
        assert etag == "tag"
        file.write(self.contents[key])


class WorkerFixture:
    """A box and the calls that tests make on it."""

    def __init__(self, folder: Path, models: Path, **settings: Any) -> None:
        defaults: dict[str, Any] = {"data_dir": folder, "model_store": models, "default_model": "loud-frames"}
        self.objects = Objects()
        prepare_folder(folder)
        db = Database(folder / "appliance.db")
        db.migrate()
        with db.transaction() as tx:
            tx.change("INSERT INTO tenants (name, created_at) VALUES ('one', 0)")
        self.box = Box(Settings(**FAST | defaults | settings), db, cast(ObjectStore, self.objects), ModelStore(models))

    def make_job(self, model: str = "loud-frames") -> str:
        return inference_jobs.create_job(self.box, 1, model, DetectionConfig()).job.id

    def add(self, job_id: str, content: bytes) -> str:
        """Insert a file and confirm it as uploaded. Returns its id."""
        file_id = str(uuid.uuid4())
        key = f"k/{file_id}"
        self.objects.contents[key] = content
        with self.box.db.transaction() as tx:
            inference_files.insert_file(
                tx,
                file_id,
                job_id,
                original_filename="a.wav",
                content_type="audio/wav",
                declared_size_bytes=len(content),
                object_key=key,
                upload_expires_at=1e12,
            )
        inference_file_service.confirm_upload(self.box, 1, job_id, file_id)
        return file_id

    def file(self, file_id: str) -> InferenceFile:
        file = inference_files.find_file(self.box.db, file_id)
        assert file is not None
        return file

    def finished_file(self, file_id: str) -> InferenceFile:
        """Wait until the file has ended. Returns it."""
        wait_for(lambda: self.file(file_id).status in ("completed", "failed", "cancelled"))
        return self.file(file_id)

    def work(self) -> list[tuple[Any, ...]]:
        rows = self.box.db.all("SELECT subject_id, attempts, lost_leases, lease_owner FROM work ORDER BY id")
        return [tuple(row) for row in rows]

    def detections(self, file_id: str) -> list[tuple[int, int]]:
        by_file = inference_files.list_detections(self.box.db, [self.file(file_id)])
        return [(detection.start_ms, detection.end_ms) for detection in by_file.get(file_id, [])]

    @contextmanager
    def working(self, lanes: int = 2, number: int = 1, count: int = 1) -> Iterator[Worker]:
        """Run a worker until the block ends."""
        worker = Worker(self.box, "cpu", lanes, number, count)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            yield worker
        finally:
            self.objects.gate.set()
            worker.stop()
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


@pytest.fixture
def make(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., WorkerFixture]:
    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.05)
    return lambda **settings: WorkerFixture(tmp_path, models, **settings)


def test_files_of_many_jobs_are_completed(make: Callable[..., WorkerFixture]) -> None:
    fixture = make()
    file_ids = [
        fixture.add(job_id, loud_wav()) for job_id in (fixture.make_job(), fixture.make_job()) for _ in range(4)
    ]
    with fixture.working(lanes=3):
        for file_id in file_ids:
            file = fixture.finished_file(file_id)
            assert (file.status, file.duration_ms, fixture.detections(file_id)) == (
                "completed",
                LOUD_DURATION_MS,
                [(1160, 1742)],
            )
    assert fixture.work() == []
    assert list((fixture.box.settings.data_dir / "tmp").iterdir()) == []


def test_an_idle_worker_notices_new_work_before_its_next_look(make: Callable[..., WorkerFixture]) -> None:
    fixture = make(poll_seconds=600)
    job_id = fixture.make_job()
    with fixture.working():
        for _ in range(3):
            assert fixture.finished_file(fixture.add(job_id, loud_wav())).status == "completed"


def test_bad_files_fail_with_their_reason(make: Callable[..., WorkerFixture]) -> None:
    fixture = make(max_duration_seconds=2)
    job_id = fixture.make_job()
    bad = {"corrupt_audio": fixture.add(job_id, b"text"), "audio_too_long": fixture.add(job_id, loud_wav())}
    good = fixture.add(job_id, loud_wav(100, [(50, 60)]))
    with fixture.working():
        for code, file_id in bad.items():
            file = fixture.finished_file(file_id)
            assert (file.status, file.error_code, fixture.detections(file_id)) == ("failed", code, [])
        assert fixture.finished_file(good).status == "completed"
    assert fixture.work() == []


@pytest.mark.parametrize("error", [StorageUnavailable("away"), DatabaseBusy("busy")])
def test_a_temporary_error_is_retried_without_counting(
    make: Callable[..., WorkerFixture], error: ApplianceError
) -> None:
    fixture = make()
    file_id = fixture.add(fixture.make_job(), loud_wav())
    fixture.objects.errors = [error] * 6
    with fixture.working():
        assert fixture.finished_file(file_id).status == "completed"
    assert fixture.objects.reads == 7


def test_an_object_that_cannot_be_read_fails_its_file_although_storage_works(
    make: Callable[..., WorkerFixture], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a bit had flipped on the disk. The waits grow, so that a disk that stutters for a while fails nothing."""
    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.005)
    fixture = make()
    fixture.objects.is_ready = True
    fixture.objects.errors = [StorageUnavailable("cannot read")] * (leases.OUTSIDE_TRIES - 1)
    stutters = fixture.add(fixture.make_job(), loud_wav())
    with fixture.working(lanes=1):
        assert fixture.finished_file(stutters).status == "completed"
        fixture.objects.errors = [StorageUnavailable("cannot read")] * leases.OUTSIDE_TRIES
        damaged = fixture.finished_file(fixture.add(fixture.make_job(), loud_wav()))
    assert (damaged.status, damaged.error_code) == ("failed", "object_damaged")
    assert "Object storage works, but cannot read" in (damaged.error_message or "")


@pytest.mark.parametrize("error", [ObjectMissing("gone"), ObjectChanged("replaced")])
def test_an_object_that_is_not_the_confirmed_one_fails_its_file(
    make: Callable[..., WorkerFixture], error: ApplianceError
) -> None:
    fixture = make()
    file_id = fixture.add(fixture.make_job(), loud_wav())
    fixture.objects.errors = [error]
    with fixture.working():
        file = fixture.finished_file(file_id)
    assert (file.status, file.error_code, file.error_message) == ("failed", error.code, str(error))


@pytest.mark.parametrize("error", [DecoderDied("It was killed."), ScoringFailed("The scores are no numbers.")])
def test_an_error_that_the_file_may_have_caused_is_tried_three_times(
    make: Callable[..., WorkerFixture], monkeypatch: pytest.MonkeyPatch, error: ApplianceError
) -> None:
    fixture = make()
    file_id = fixture.add(fixture.make_job(), loud_wav())
    tries: list[Scorer] = []

    def failing(scorer: Scorer, *_: Any) -> None:
        tries.append(scorer)
        raise error

    monkeypatch.setattr(Scorer, "score", failing)
    with fixture.working():
        file = fixture.finished_file(file_id)
    assert (file.status, file.error_code, file.error_message) == ("failed", error.code, str(error))
    assert len(tries) == 3


def test_several_workers_share_the_queue(make: Callable[..., WorkerFixture]) -> None:
    """The second one takes files too, its death frees only its own, and the first one alone sweeps and stores."""
    fixture = make()
    fixture.objects.gate.clear()
    job_id = fixture.make_job()
    file_ids = [fixture.add(job_id, loud_wav()) for _ in range(4)]
    with fixture.working(1, 1, 2) as first:
        with fixture.working(1, 2, 2) as second:
            wait_for(lambda: fixture.objects.reads == 2)
            assert {row[3] for row in fixture.work()} == {first.id, second.id, None}
            leases.start_worker(fixture.box, "next", "cpu", 2, 2)
            assert {row[3] for row in fixture.work()} == {first.id, None}
        assert all(fixture.finished_file(file_id).status == "completed" for file_id in file_ids)
    assert fixture.work() == []


def test_a_second_worker_alone_does_no_chores(make: Callable[..., WorkerFixture]) -> None:
    fixture = make()
    file_id = fixture.add(fixture.make_job(), loud_wav())
    with fixture.working(1, 2, 2):
        assert fixture.finished_file(file_id).status == "completed"
    assert chores.last(fixture.box.db, "sweep") is None
    with fixture.working(1, 1, 2):
        wait_for(lambda: chores.last(fixture.box.db, "sweep"))


def test_a_bug_in_the_worker_fails_the_file_and_not_the_worker(make: Callable[..., WorkerFixture]) -> None:
    fixture = make()
    job_id = fixture.make_job()
    file_id = fixture.add(job_id, loud_wav())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scorer, "score", lambda *_: 1 / 0)
        with fixture.working():
            file = fixture.finished_file(file_id)
            assert (file.status, file.error_code) == ("failed", "appliance_error")
            assert "ZeroDivisionError" in (file.error_message or "")
            patch.undo()
            assert fixture.finished_file(fixture.add(job_id, loud_wav())).status == "completed"


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_scores_that_are_not_finite_fail_the_file_at_once_and_not_the_worker(
    make: Callable[..., WorkerFixture], provider: Provider
) -> None:
    fixture = make()
    recording = io.BytesIO()
    soundfile.write(recording, np.full(8000, 1e29, np.float32), 8000, "FLOAT", format="WAV")
    bad = fixture.add(fixture.make_job("loud-softmax"), recording.getvalue())
    good = fixture.add(fixture.make_job(), loud_wav())
    with fixture.working() as worker:
        worker._provider = provider  # only the worker believes this; its sessions run on the CPU
        assert fixture.finished_file(bad).error_code == "scores_not_finite"
        assert fixture.finished_file(good).status == "completed"


def test_a_full_database_counts_on_no_file(make: Callable[..., WorkerFixture]) -> None:
    fixture = make(max_decoder_deaths=1)
    file_id = fixture.add(fixture.make_job(), loud_wav())
    complete = inference_work.complete
    tries: list[int] = []

    def completing(*arguments: Any) -> None:
        tries.append(1)
        is_full = len(tries) <= 4
        # Pages; it cannot be less than the size that the database has.
        fixture.box.db.all(f"PRAGMA max_page_count = {1 if is_full else 1_000_000}")
        if is_full:
            with fixture.box.db.transaction() as tx:
                tx.change("CREATE TABLE filler (bytes BLOB)")
                tx.change("INSERT INTO filler VALUES (zeroblob(1000000))")
        complete(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference_work, "complete", completing)
        with fixture.working():
            assert fixture.finished_file(file_id).status == "completed"
    assert len(tries) == 5


def test_a_missing_model_fails_only_its_own_files(make: Callable[..., WorkerFixture]) -> None:
    fixture = make()
    without_model, with_model = fixture.make_job("loud-softmax"), fixture.make_job()
    with fixture.box.db.transaction() as tx:
        tx.change("UPDATE inference_jobs SET model_version = '9' WHERE id = ?", [without_model])
    bad, good = fixture.add(without_model, loud_wav()), fixture.add(with_model, loud_wav())
    with fixture.working():
        assert fixture.finished_file(bad).error_code == "model_not_found"
        assert fixture.finished_file(good).status == "completed"


def test_stopping_releases_files_in_progress_unchanged(make: Callable[..., WorkerFixture]) -> None:
    fixture = make()
    file_id = fixture.add(fixture.make_job(), loud_wav())
    fixture.objects.gate.clear()
    with fixture.working() as worker:
        wait_for(lambda: fixture.objects.reads)
        assert fixture.file(file_id).status == "processing"
        worker.stop()
    assert fixture.file(file_id).status == "queued"
    assert fixture.work() == [(file_id, 0, 0, None)]
    with fixture.working():
        assert fixture.finished_file(file_id).status == "completed"


def test_a_lease_is_kept_while_the_worker_works(make: Callable[..., WorkerFixture]) -> None:
    fixture = make(lease_seconds=6)
    file_id = fixture.add(fixture.make_job(), loud_wav())
    fixture.objects.gate.clear()
    with fixture.working():
        wait_for(lambda: fixture.objects.reads)
        started = time.monotonic()
        until = "SELECT lease_until FROM work"
        wait_for(lambda: fixture.box.db.all(until)[0]["lease_until"] > started + 9)  # extended several times
        fixture.objects.gate.set()
        assert fixture.finished_file(file_id).status == "completed"
    assert fixture.objects.reads == 1


def test_a_file_whose_result_could_not_be_written_is_tried_again(make: Callable[..., WorkerFixture]) -> None:
    """The worker goes on and must release the lease."""
    fixture = make(lease_seconds=2)
    file_id = fixture.add(fixture.make_job(), loud_wav())
    complete, faults = inference_work.complete, [DatabaseBusy("busy"), OSError("disk full")]

    def failing(*arguments: Any) -> None:
        if faults:
            raise faults.pop()
        complete(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference_work, "complete", failing)
        with fixture.working():
            assert fixture.finished_file(file_id).status == "completed"
    assert fixture.objects.reads >= 3
    assert len(fixture.detections(file_id)) == 1


def test_a_lane_with_a_lost_lease_does_not_use_the_new_lease_of_its_worker(make: Callable[..., WorkerFixture]) -> None:
    """As after a pause of the machine: the first lane must notice the loss and must not use the lease of the second."""
    fixture = make()
    file_id = fixture.add(fixture.make_job(), loud_wav())
    fixture.objects.gate.clear()
    with fixture.working(lanes=2):
        wait_for(lambda: fixture.objects.reads == 1)
        with fixture.box.db.transaction() as tx:
            tx.change("UPDATE work SET lease_until = 1")
        wait_for(lambda: fixture.objects.reads == 2)
        fixture.objects.gate.set()
        assert fixture.finished_file(file_id).status == "completed"
    assert fixture.detections(file_id) == [(1160, 1742)]
    assert fixture.work() == []


def test_a_file_that_loses_its_worker_too_often_fails(make: Callable[..., WorkerFixture]) -> None:
    fixture = make(max_lost_leases=3)
    file_id = fixture.add(fixture.make_job(), loud_wav())
    for number in range(3):
        leases.start_worker(fixture.box, f"w{number}", "cpu")
        task = leases.claim(fixture.box, f"w{number}", "lanes")
        assert task is not None
        assert task.lost_leases == number
    leases.start_worker(fixture.box, "last", "cpu")
    file = fixture.file(file_id)
    assert (file.status, file.error_code) == ("failed", "worker_lost")
    assert "3 times" in (file.error_message or "")
    assert fixture.work() == []


def test_files_of_several_dead_workers_are_tried_one_at_a_time(make: Callable[..., WorkerFixture]) -> None:
    fixture = make()
    job_id = fixture.make_job()
    suspects = [fixture.add(job_id, loud_wav()) for _ in range(2)]
    for number in range(3):
        assert all(leases.claim(fixture.box, f"w{number}", "lanes") for _ in suspects)
        leases.start_worker(fixture.box, f"w{number + 1}", "cpu")
    other = fixture.add(job_id, loud_wav())
    complete = inference_work.complete
    in_progress: dict[str, int] = {}

    def completing(box: Box, work: Work, *result: Any) -> None:
        leased = "SELECT count(*) FROM work WHERE lease_owner IS NOT NULL AND kind = 'inference'"
        in_progress[work.subject_id] = box.db.all(leased)[0][0]
        complete(box, work, *result)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference_work, "complete", completing)
        with fixture.working(lanes=3):
            assert fixture.finished_file(other).status == "completed"
    assert [*in_progress] == [*suspects, other]
    assert set(in_progress.values()) == {1}


def test_a_worker_that_lost_its_lease_writes_nothing(make: Callable[..., WorkerFixture]) -> None:
    fixture = make(lease_seconds=0.5)
    file_id = fixture.add(fixture.make_job(), loud_wav())
    late = leases.claim(fixture.box, "late", "lanes")
    assert late is not None
    with fixture.box.db.transaction() as tx:
        tx.change("UPDATE work SET lease_until = 1")
    sweep(fixture.box)
    assert fixture.file(file_id).status == "queued"
    detection = Detection("loud", 1, 2, 0.5)
    attempts: list[Callable[[], object]] = [
        lambda: inference_work.complete(fixture.box, late, 5, [detection]),
        lambda: leases.fail(fixture.box, late, ScoringFailed("no")),
        lambda: leases.retry(fixture.box, late, ScoringFailed("no"), counts=True),
        lambda: leases.retry(fixture.box, late, ScoringFailed("no"), counts=False),
    ]
    for status in ("queued", "processing"):
        before = fixture.file(file_id), fixture.work()
        for attempt in attempts:
            with pytest.raises(LeaseLost):
                attempt()
        assert leases.heartbeat(fixture.box, "late", [late]) == set()
        assert (fixture.file(file_id), fixture.work()) == before
        assert fixture.file(file_id).status == status
        if status == "queued":
            assert leases.claim(fixture.box, "next", "lanes") is not None
    assert fixture.detections(file_id) == []


def test_a_file_cancelled_during_its_work_stays_cancelled(make: Callable[..., WorkerFixture]) -> None:
    fixture = make()
    job_id = fixture.make_job()
    file_id = fixture.add(job_id, loud_wav())
    fixture.objects.gate.clear()
    with fixture.working():
        wait_for(lambda: fixture.objects.reads)
        inference_jobs.cancel_job(fixture.box, 1, job_id)
        fixture.objects.gate.set()
        next_file = fixture.add(fixture.make_job(), loud_wav())
        assert fixture.finished_file(next_file).status == "completed"
    assert (fixture.file(file_id).status, fixture.detections(file_id)) == ("cancelled", [])


def test_a_broken_accelerator_ends_the_worker_so_that_a_new_one_starts(make: Callable[..., WorkerFixture]) -> None:
    fixture = make()
    file_id = fixture.add(fixture.make_job(), loud_wav())

    def failing(*_: Any) -> None:
        raise ScoringFailed("CUDA error 700")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scorer, "score", failing)
        worker = Worker(fixture.box, "cpu", 1)
        worker._provider = "cuda"  # only the worker believes this; its sessions run on the CPU
        assert worker.run() is False
    assert fixture.file(file_id).status == "queued"
    assert fixture.work() == [(file_id, 1, 0, None)]


def test_nothing_is_lost_if_the_accelerator_fails_in_mid_batch(
    make: Callable[..., WorkerFixture], monkeypatch: pytest.MonkeyPatch
) -> None:
    """First memory runs out and the batch is halved, then the device fails. The next worker does all that was open."""
    fixture = make(batch_size=8, scoring_calls=1)
    job_id = fixture.make_job()
    file_ids = [fixture.add(job_id, loud_wav()) for _ in range(6)]
    run_part, sizes, halves = Slot._run_part, list[int](), list[int]()
    put, waiting = Scorer._put, list[np.ndarray]()

    def putting(scorer: Scorer, lane: Any, window: np.ndarray) -> None:
        put(scorer, lane, window)
        waiting.append(window)

    def run(slot: Slot, start: int, count: int, output: str) -> np.ndarray:
        sizes.append(count)
        wait_for(lambda: len(waiting) >= 12)  # those of three recordings, so that some are in one batch
        if count > 1 and not halves:
            halves.append(count)
            raise RuntimeError("CUDA failure 2: out of memory")
        if halves and len(sizes) == sizes.index(halves[0]) + 4:  # the first call after both halves
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")
        return run_part(slot, start, count, output)

    monkeypatch.setattr(Scorer, "_put", putting)
    monkeypatch.setattr(Slot, "_run_part", run)
    worker = Worker(fixture.box, "cpu", 3)
    worker._provider = "cuda"  # only the worker believes this; its sessions run on the CPU
    assert worker.run() is False
    assert halves
    assert sizes[sizes.index(halves[0]) + 1] == (halves[0] + 1) // 2
    assert "failed" not in {fixture.file(file_id).status for file_id in file_ids}
    with fixture.working(lanes=3):
        assert {fixture.finished_file(file_id).status for file_id in file_ids} == {"completed"}
        assert all(fixture.detections(file_id) == [(1160, 1742)] for file_id in file_ids)
    assert fixture.work() == []


def test_the_sign_of_life_ends_while_a_model_does_not_answer(
    make: Callable[..., WorkerFixture],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hang_seconds = 2.0
    fixture = make(hang_seconds=hang_seconds)
    pulse = pulse_file(fixture.box.settings.data_dir)
    run_part, answering = Slot._run_part, threading.Event()

    def run(slot: Slot, start: int, count: int, output: str) -> np.ndarray:
        assert answering.wait(PATIENCE_SECONDS)
        return run_part(slot, start, count, output)

    monkeypatch.setattr(Slot, "_run_part", run)
    file_id = fixture.add(fixture.make_job(), loud_wav())
    with fixture.working() as worker:

        def is_silent() -> bool:
            """Whether there is no sign of life in half the time; one beat may be late."""
            last, seconds = pulse.stat().st_mtime_ns, worker._scorers.longest_call_seconds()
            wait_for(lambda: worker._scorers.longest_call_seconds() > seconds + hang_seconds / 2)
            return pulse.stat().st_mtime_ns == last

        wait_for(pulse.exists)
        wait_for(lambda: worker._scorers.longest_call_seconds() > hang_seconds)
        wait_for(is_silent)
        last = pulse.stat().st_mtime_ns
        answering.set()
        assert fixture.finished_file(file_id).status == "completed"
        wait_for(lambda: pulse.stat().st_mtime_ns > last)
        assert worker._scorers.longest_call_seconds() == 0
