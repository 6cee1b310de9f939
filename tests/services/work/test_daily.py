"""The chores of each day: a damaged database, objects without a row, rows without an object."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import DatabaseDamaged
from appliance.services.box import Box
from appliance.services.datasets.datasets import create_dataset
from appliance.services.work import daily, reconcile
from appliance.state import audio, chores
from appliance.state.database import Database
from tests.services.datasets.recordings import embedding_audio
from tests.support.boxes import DictionaryStore, new_file, new_job

FILE_ID = "00000000-0000-4000-8000-000000000000"
ORPHANS = (
    f"tenant-1/inference-{FILE_ID}/{FILE_ID}/original-0123abcd",
    f"tenant-1/dataset-{FILE_ID}/{FILE_ID}/normalized",
    f"tenant-1/media/{FILE_ID}/original",
)
OTHERS = ("notes.txt", "tenant-1/notes.txt", f"incoming/tenant-1/{FILE_ID}", f"tenant-1/media/{FILE_ID}/a/b")


class Pause(threading.Event):
    """Takes the place of the ten minutes between the two looks, in which something may happen."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._meanwhile = meanwhile
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        self._meanwhile()
        return self.is_set()


@pytest.fixture
def recording(box: Box) -> audio.Audio:
    """A recording with all of its objects."""
    row, _ = embedding_audio(box, create_dataset(box, 1, "name", "").id)
    for key in (row.normalized_key, row.embedding_key):
        box.objects.put(key, b"x", content_type="audio/wav")
    return row


def test_objects_that_no_row_names_are_deleted_and_no_others(
    box: Box, objects: DictionaryStore, recording: audio.Audio
) -> None:
    new_file(box, new_job(box))
    new_file(box, new_job(box), confirm=False)
    kept = set(objects.contents) | set(OTHERS)
    objects.contents |= dict.fromkeys([*ORPHANS, *OTHERS], b"x")
    pause = Pause()
    assert reconcile.reconcile(box, pause) is None
    assert set(objects.contents) == kept
    assert pause.seconds == [reconcile.WAIT_SECONDS]


def test_an_object_that_is_young_is_left_alone(box: Box, objects: DictionaryStore) -> None:
    objects.contents = dict.fromkeys(ORPHANS, b"x")
    objects.modified_at = time.time() - reconcile.age_seconds(box) + 60
    reconcile.reconcile(box, Pause())
    assert set(objects.contents) == set(ORPHANS)


def test_the_copy_of_a_confirm_in_progress_is_left_alone(box: Box, objects: DictionaryStore) -> None:
    """Also if a step of the clock makes every object look old: the row that names the copy comes a moment later."""
    file_id = new_file(box, new_job(box))
    row = box.db.one("SELECT object_key FROM inference_files WHERE id = ?", [file_id])
    assert row is not None

    def name(key: str) -> None:
        with box.db.transaction() as tx:
            tx.change("UPDATE inference_files SET object_key = ? WHERE id = ?", [key, file_id])

    name("elsewhere")
    reconcile.reconcile(box, Pause(lambda: name(row["object_key"])))
    assert row["object_key"] in objects.contents


def test_nothing_is_deleted_by_a_worker_that_stops(box: Box, objects: DictionaryStore) -> None:
    objects.contents = dict.fromkeys(ORPHANS, b"x")
    pause = Pause(lambda: pause.set())
    daily.run_due(box, pause)
    assert set(objects.contents) == set(ORPHANS)
    assert chores.last(box.db, "bucket check") is None


def test_a_row_whose_object_is_missing_is_reported(box: Box, objects: DictionaryStore, recording: audio.Audio) -> None:
    content = objects.contents.pop(recording.object_key)
    fault = reconcile.reconcile(box, Pause())
    assert fault == (
        f"Storage lacks 1 object of recordings, such as {recording.object_key}; restore them from a backup."
    )
    objects.contents[recording.object_key] = content
    assert reconcile.reconcile(box, Pause()) is None


def test_a_chore_runs_once_a_day_whatever_the_clock_did(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    monkeypatch.setattr(daily, "CHORES", {"a": lambda *_: runs.append("a")})
    for seconds, expected in ((0, 1), (0, 1), (-80_000, 1), (-90_000, 2), (1000, 3)):
        with box.db.transaction() as tx:
            tx.change("UPDATE chores SET ended_at = unixepoch('subsec') + ?", [seconds])
        daily.run_due(box, threading.Event())
        assert len(runs) == expected


def damage(path: Path) -> None:
    """Overwrite 300 bytes in every ninth page but the first."""
    content = bytearray(path.read_bytes())
    for start in range(9 * 4096, len(content), 9 * 4096):
        content[start : start + 300] = b"\xa5" * 300
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)


@pytest.mark.parametrize("harm", [damage, cut])
def test_a_damaged_database_is_noticed(tmp_path: Path, migrated: Path, harm: Callable[[Path], None]) -> None:
    path = tmp_path / "copy.db"
    path.write_bytes(migrated.read_bytes())
    Database(path).check()
    harm(path)
    with pytest.raises(DatabaseDamaged, match=r"copy\.db is damaged \(.+restore it from a backup"):
        Database(path).check()


def test_a_damaged_database_is_noticed_daily(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        raise DatabaseDamaged("It is damaged.")

    monkeypatch.setattr(box.db, "check", check)
    daily.run_due(box, threading.Event())
    last = chores.last(box.db, "database check")
    assert last is not None
    assert last.fault == "It is damaged."
