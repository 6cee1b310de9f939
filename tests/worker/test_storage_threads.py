"""Work that only moves bytes does not wait behind inference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from appliance.services.purge import PURGE, enqueue_purge
from appliance.services.speech import batch_uploads
from appliance.services.speech.durations import Durations
from appliance.services.work import leases
from appliance.services.work.kinds import KINDS
from appliance.storage.objects import ObjectInfo
from appliance.worker import worker
from tests.support.appliances import wait_for
from tests.support.toy_recordings import loud_wav
from tests.worker.test_worker import Objects, WorkerFixture


@dataclass(frozen=True)
class File:
    """A file of a form."""

    filename: str
    blocks: Iterator[bytes]
    content_type: str = "audio/wav"


class WritableObjects(Objects):
    """Objects that can also be written; only reads wait at the gate."""

    def put(self, key: str, file: BinaryIO, *, size_bytes: int, content_type: str) -> ObjectInfo:
        self.contents[key] = file.read(size_bytes)
        return ObjectInfo(size_bytes, hashlib.md5(self.contents[key]).hexdigest())

    def list(self, prefix: str, limit: int, after: str = "") -> list[Any]:
        return []

    def delete(self, key: str) -> None:
        self.contents.pop(key, None)


class NoDurations:
    """Reads no header."""

    def estimate_seconds(self, path: Path) -> float | None:
        return None


class StorageFixture(WorkerFixture):
    """A worker fixture that takes batch uploads."""

    def __init__(self, folder: Path, models: Path, **settings: Any) -> None:
        super().__init__(folder, models, **settings)
        self.objects = WritableObjects()
        object.__setattr__(self.box, "objects", self.objects)


@pytest.fixture
def make(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StorageFixture]:
    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.05)
    return lambda **settings: StorageFixture(tmp_path, models, **settings)


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("sent", [worker.SENT, frozenset()], ids=["with what nodes may do", "with what nodes never do"])
def test_uploads_are_stored_and_objects_deleted_while_every_lane_is_busy(
    make: Callable[..., StorageFixture], monkeypatch: pytest.MonkeyPatch, lanes: int, sent: frozenset[str]
) -> None:
    monkeypatch.setattr(worker, "SENT", sent)
    fixture = make()
    job_id = fixture.make_job()
    file_ids = [fixture.add(job_id, loud_wav()) for _ in range(lanes + 1)]
    fixture.objects.gate.clear()
    with fixture.working(lanes):
        wait_for(lambda: fixture.objects.reads == lanes)
        durations = cast(Durations, NoDurations())
        upload = batch_uploads.accept(fixture.box, durations, 1, [File(f"{n}.wav", iter([b"x"])) for n in range(3)])
        with fixture.box.db.transaction() as tx:
            enqueue_purge(tx, 1, "tenant-1/media/gone")

        def is_stored() -> bool:
            files = batch_uploads.find_batch(fixture.box, 1, upload.id)
            return all(media.status == "stored" for media in files)

        wait_for(is_stored)
        wait_for(lambda: not fixture.box.db.all("SELECT 1 FROM work WHERE kind = ?", [PURGE.name]))
        assert fixture.objects.reads == lanes
        fixture.objects.gate.set()
        for file_id in file_ids:
            fixture.finished_file(file_id)
    assert fixture.work() == []


def test_work_that_waits_for_bytes_or_other_machines_never_holds_a_lane() -> None:
    beside = {name: kind.pool for name, kind in KINDS.items() if kind.pool != "lanes"}
    assert beside == {
        "copy_file": "storage",
        "copy_audio": "storage",
        "judge": "storage",
        "store": "storage",
        "purge": "storage",
        "fetch": "fetch",
        "webhook": "courier",
        "hear": "hearing",
        "training": "training",
    }
