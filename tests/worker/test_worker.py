"""The worker by itself: real decoders, a real model, real SQLite; objects come from a dictionary."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from appliance.config import Settings
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
from appliance.services.work import leases
from appliance.services.work.sweep import sweep
from appliance.state import inference_files
from appliance.state.database import Database
from appliance.state.inference_files import InferenceFile
from appliance.storage.objects import ObjectInfo
from appliance.worker.worker import Worker, prepare_folder
from tests.support.appliances import wait_for
from tests.support.toy_recordings import LOUD_DURATION_MS, loud_wav

FAST = {"poll_seconds": 0.02, "sweep_seconds": 0.05, "lease_seconds": 6.0}


class Objects:
    """Objects in a dictionary, and errors that the next reads meet."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.errors: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.reads = 0

    def stat(self, key: str) -> ObjectInfo:
        if key not in self.contents:
            raise ObjectMissing(f"There is no object {key}.")
        return ObjectInfo(len(self.contents[key]), "tag")

    def fetch(self, key: str, etag: str, file: BinaryIO) -> None:
        self.reads += 1
        assert self.gate.wait(60)
        if self.errors:
            raise self.errors.pop(0)
        assert etag == "tag"
        file.write(self.contents[key])


class Fixture:
    """A box, and what a test does with it."""

    def __init__(self, folder: Path, models: Path, **settings: Any) -> None:
        chosen = FAST | {"data_dir": folder, "model_store": models, "default_model": "loud-frames"} | settings
        self.objects = Objects()
        prepare_folder(folder)
        db = Database(folder / "appliance.db")
        db.migrate()
        with db.transaction() as tx:
            tx.change("INSERT INTO tenants (name, created_at) VALUES ('one', 0)")
        self.box = Box(Settings(**chosen), db, self.objects, ModelStore(models))

    def make_job(self, model: str = "loud-frames") -> str:
        return inference_jobs.create_job(self.box, 1, model, DetectionConfig()).job.id

    def add(self, job_id: str, content: bytes) -> str:
        """A file that was uploaded and confirmed."""
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
        found = inference_files.find_file(self.box.db, file_id)
        assert found is not None
        return found

    def ended(self, file_id: str) -> InferenceFile:
        """The file, once it reached an end."""
        wait_for(lambda: self.file(file_id).status in ("completed", "failed", "cancelled"))
        return self.file(file_id)

    def work(self) -> list[tuple]:
        rows = self.box.db.all("SELECT subject_id, attempts, lost_leases, lease_owner FROM work ORDER BY id")
        return [tuple(row) for row in rows]

    def detections(self, file_id: str) -> list[tuple[int, int]]:
        found = inference_files.list_detections(self.box.db, self.file(file_id).job_id, file_id).get(file_id, [])
        return [(detection.start_ms, detection.end_ms) for detection in found]

    @contextmanager
    def working(self, lanes: int = 2) -> Iterator[Worker]:
        """A worker until the block ends."""
        worker = Worker(self.box, "cpu", lanes)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            yield worker
        finally:
            self.objects.gate.set()
            worker.stop()
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def make(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Fixture]:
    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.05)
    return lambda **settings: Fixture(tmp_path, models, **settings)


def test_files_of_many_jobs_are_completed(make: Callable[..., Fixture]) -> None:
    here = make()
    wanted = [here.add(job_id, loud_wav()) for job_id in (here.make_job(), here.make_job()) for _ in range(4)]
    with here.working(lanes=3):
        for file_id in wanted:
            file = here.ended(file_id)
            assert (file.status, file.duration_ms, here.detections(file_id)) == (
                "completed",
                LOUD_DURATION_MS,
                [(1160, 1742)],
            )
    assert here.work() == []
    assert list((here.box.settings.data_dir / "tmp").iterdir()) == []


def test_bad_files_fail_with_their_reason(make: Callable[..., Fixture]) -> None:
    here = make(max_duration_seconds=2)
    job_id = here.make_job()
    bad = {"corrupt_audio": here.add(job_id, b"text"), "audio_too_long": here.add(job_id, loud_wav())}
    good = here.add(job_id, loud_wav(100, [(50, 60)]))
    with here.working():
        for code, file_id in bad.items():
            file = here.ended(file_id)
            assert (file.status, file.error_code, here.detections(file_id)) == ("failed", code, [])
        assert here.ended(good).status == "completed"
    assert here.work() == []


@pytest.mark.parametrize("error", [StorageUnavailable("away"), DatabaseBusy("busy")])
def test_what_passes_is_tried_until_it_passed_and_does_not_count(
    make: Callable[..., Fixture], error: ApplianceError
) -> None:
    here = make()
    file_id = here.add(here.make_job(), loud_wav())
    here.objects.errors = [error] * 6
    with here.working():
        assert here.ended(file_id).status == "completed"
    assert here.objects.reads == 7


@pytest.mark.parametrize("error", [ObjectMissing("gone"), ObjectChanged("replaced")])
def test_an_object_that_is_not_the_confirmed_one_fails_its_file(
    make: Callable[..., Fixture], error: ApplianceError
) -> None:
    here = make()
    file_id = here.add(here.make_job(), loud_wav())
    here.objects.errors = [error]
    with here.working():
        file = here.ended(file_id)
    assert (file.status, file.error_code, file.error_message) == ("failed", error.code, str(error))


@pytest.mark.parametrize("error", [DecoderDied("It was killed."), ScoringFailed("The scores are no numbers.")])
def test_what_may_be_the_files_fault_is_tried_three_times(
    make: Callable[..., Fixture], monkeypatch: pytest.MonkeyPatch, error: ApplianceError
) -> None:
    here = make()
    file_id = here.add(here.make_job(), loud_wav())
    tries: list[Scorer] = []

    def failing(scorer: Scorer, *_: Any) -> None:
        tries.append(scorer)
        raise error

    monkeypatch.setattr(Scorer, "score", failing)
    with here.working():
        file = here.ended(file_id)
    assert (file.status, file.error_code, file.error_message) == ("failed", error.code, str(error))
    assert len(tries) == 3


def test_a_bug_in_the_worker_fails_the_file_and_not_the_worker(make: Callable[..., Fixture]) -> None:
    here = make()
    job_id = here.make_job()
    file_id = here.add(job_id, loud_wav())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scorer, "score", lambda *_: 1 / 0)
        with here.working():
            file = here.ended(file_id)
            assert (file.status, file.error_code) == ("failed", "appliance_error")
            assert "ZeroDivisionError" in (file.error_message or "")
            patch.undo()
            assert here.ended(here.add(job_id, loud_wav())).status == "completed"


def test_a_model_that_vanished_fails_its_files_alone(make: Callable[..., Fixture]) -> None:
    here = make()
    gone, kept = here.make_job("loud-softmax"), here.make_job()
    with here.box.db.transaction() as tx:
        tx.change("UPDATE inference_jobs SET model_version = '9' WHERE id = ?", [gone])
    lost, good = here.add(gone, loud_wav()), here.add(kept, loud_wav())
    with here.working():
        assert here.ended(lost).error_code == "model_not_found"
        assert here.ended(good).status == "completed"


def test_stopping_gives_files_in_progress_back_as_they_were(make: Callable[..., Fixture]) -> None:
    here = make()
    file_id = here.add(here.make_job(), loud_wav())
    here.objects.gate.clear()
    with here.working() as worker:
        wait_for(lambda: here.objects.reads)
        assert here.file(file_id).status == "processing"
        worker.stop()
    assert here.file(file_id).status == "queued"
    assert here.work() == [(file_id, 0, 0, None)]
    with here.working():
        assert here.ended(file_id).status == "completed"


def test_a_lease_is_kept_while_the_worker_works(make: Callable[..., Fixture]) -> None:
    here = make(lease_seconds=1.5)
    file_id = here.add(here.make_job(), loud_wav())
    here.objects.gate.clear()
    with here.working():
        wait_for(lambda: here.objects.reads)
        started = time.time()
        until = "SELECT lease_until FROM work"
        wait_for(lambda: here.box.db.one(until)["lease_until"] > started + 3)  # extended several times
        here.objects.gate.set()
        assert here.ended(file_id).status == "completed"
    assert here.objects.reads == 1


def test_a_file_whose_result_could_not_be_written_is_tried_again(make: Callable[..., Fixture]) -> None:
    """Its worker lives on and must let go of the lease."""
    here = make(lease_seconds=0.6)
    file_id = here.add(here.make_job(), loud_wav())
    complete, faults = inference_work.complete, [DatabaseBusy("busy"), OSError("disk full")]

    def failing(*arguments: Any) -> None:
        if faults:
            raise faults.pop()
        complete(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference_work, "complete", failing)
        with here.working():
            assert here.ended(file_id).status == "completed"
    assert here.objects.reads >= 3
    assert len(here.detections(file_id)) == 1


def test_a_lost_lease_that_the_same_worker_takes_up_again_is_another_one(make: Callable[..., Fixture]) -> None:
    """As after a pause of the whole machine: the first lane must notice, the second must not be taken for it."""
    here = make()
    file_id = here.add(here.make_job(), loud_wav())
    here.objects.gate.clear()
    with here.working(lanes=2):
        wait_for(lambda: here.objects.reads == 1)
        with here.box.db.transaction() as tx:
            tx.change("UPDATE work SET lease_until = 1")
        wait_for(lambda: here.objects.reads == 2)
        here.objects.gate.set()
        assert here.ended(file_id).status == "completed"
    assert here.detections(file_id) == [(1160, 1742)]
    assert here.work() == []


def test_a_file_that_loses_its_worker_too_often_fails(make: Callable[..., Fixture]) -> None:
    here = make(max_lost_leases=3)
    file_id = here.add(here.make_job(), loud_wav())
    for number in range(3):
        leases.start_worker(here.box, f"w{number}", "cpu")
        task = leases.claim(here.box, f"w{number}")
        assert task is not None
        assert task.lost_leases == number
    leases.start_worker(here.box, "last", "cpu")
    file = here.file(file_id)
    assert (file.status, file.error_code) == ("failed", "worker_lost")
    assert "3 times" in (file.error_message or "")
    assert here.work() == []


def test_who_lost_the_lease_writes_nothing(make: Callable[..., Fixture]) -> None:
    here = make(lease_seconds=0.5)
    file_id = here.add(here.make_job(), loud_wav())
    late = leases.claim(here.box, "late")
    assert late is not None
    with here.box.db.transaction() as tx:
        tx.change("UPDATE work SET lease_until = 1")
    sweep(here.box)
    assert here.file(file_id).status == "queued"
    detection = Detection("loud", 1, 2, 0.5)
    attempts: list[Callable[[], None]] = [
        lambda: inference_work.complete(here.box, late, 5, [detection]),
        lambda: leases.fail(here.box, late, ScoringFailed("no")),
        lambda: leases.retry(here.box, late, ScoringFailed("no"), counts=True),
        lambda: leases.retry(here.box, late, ScoringFailed("no"), counts=False),
    ]
    for status in ("queued", "processing"):
        before = here.file(file_id), here.work()
        for attempt in attempts:
            with pytest.raises(LeaseLost):
                attempt()
        assert leases.heartbeat(here.box, "late", [late]) == set()
        assert (here.file(file_id), here.work()) == before
        assert here.file(file_id).status == status
        if status == "queued":
            assert leases.claim(here.box, "next") is not None
    assert here.detections(file_id) == []


def test_a_file_that_was_cancelled_meanwhile_stays_cancelled(make: Callable[..., Fixture]) -> None:
    here = make()
    job_id = here.make_job()
    file_id = here.add(job_id, loud_wav())
    here.objects.gate.clear()
    with here.working():
        wait_for(lambda: here.objects.reads)
        inference_jobs.cancel_job(here.box, 1, job_id)
        here.objects.gate.set()
        after = here.add(here.make_job(), loud_wav())
        assert here.ended(after).status == "completed"
    assert (here.file(file_id).status, here.detections(file_id)) == ("cancelled", [])


def test_a_broken_accelerator_ends_the_worker_so_that_a_fresh_one_starts(make: Callable[..., Fixture]) -> None:
    here = make()
    file_id = here.add(here.make_job(), loud_wav())

    def failing(*_: Any) -> None:
        raise ScoringFailed("CUDA error 700")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scorer, "score", failing)
        worker = Worker(here.box, "cpu", 1)
        worker._provider = "cuda"  # what it takes itself to run on; its sessions were told the truth
        assert worker.run() is False
    assert here.file(file_id).status == "queued"
    assert here.work() == [(file_id, 1, 0, None)]
