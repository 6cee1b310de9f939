"""A backup of a running appliance, a box that is restored from it, and the verification of both."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.state.database import Database
from appliance.storage.access import load_access
from appliance.storage.objects import ObjectStore
from tests.contract.test_annotation_sets import add_audio, new_dataset
from tests.contract.test_speech_batch import BatchClient
from tests.contract.test_speech_raw import RawClient
from tests.support.appliances import ROOT, Api, Appliance, running_appliance, wait_for
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

# Signs of life, and what the restore itself notes.
CHANGING = ("workers", "chores", "api_keys", "audit_log", "sqlite_sequence")
MIB = 1024**2

Rows = dict[str, list[tuple]]
Objects = dict[str, tuple[str, str]]


def rows_of(path: Path) -> Rows:
    """Every row of every table."""
    db = Database(path)
    tables = [row["name"] for row in db.all("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    rows = {table: sorted(tuple(row) for row in db.all(f"SELECT * FROM {table}")) for table in tables}
    db.close()
    return rows


def objects_of(data_dir: Path) -> Objects:
    """The tag and the checksum of every object, without uploads in progress."""
    store, found = ObjectStore(load_access(data_dir)), {}
    for stored in store.list("tenant-", 10_000):
        file, etag = io.BytesIO(), store.stat(stored.key).etag
        store.fetch(stored.key, etag, file)
        found[stored.key] = (etag, hashlib.sha256(file.getvalue()).hexdigest())
    return found


def command(appliance: Appliance, *arguments: object, code: int = 0) -> str:
    """Run a command, also on a stopped appliance. Returns what it printed."""
    line = [sys.executable, "-m", "appliance.cli", *map(str, arguments)]
    result = subprocess.run(line, env=appliance.settings, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


def fill(appliance: Appliance) -> tuple[str, str]:
    """Send recordings by every route, small ones and some that storage keeps in parts. Returns a job and its file."""
    api = appliance.api
    file_id = api.send(job_id := api.make_job(), loud_wav())
    api.send(job_id, loud_wav() + bytes(6 * MIB))  # the copy has one part
    raw = RawClient(appliance.url, appliance.key)
    raw.request_transcript(raw.upload(bytes(17 * MIB)))  # three parts of 8 MiB
    batches = BatchClient(appliance.url, appliance.key)
    receipt = batches.upload(("a.wav", loud_wav()), ("b.wav", bytes(11 * MIB)))  # three parts of 5 MiB
    batches.finished_upload(receipt["batch_upload_id"])
    add_audio(api, new_dataset(api), loud_wav())
    api.request_upload(job_id, 100)  # never uploaded
    api.finished_file(job_id, file_id)
    return job_id, file_id


def idle(data_dir: Path) -> bool:
    """Whether nothing waits for work."""
    db = Database(data_dir / "appliance.db")
    try:
        return db.all("SELECT count(*) FROM work")[0][0] == 0
    finally:
        db.close()


@pytest.mark.slow
def test_every_row_and_object_of_a_running_appliance_is_restored(tmp_path: Path, models: Path) -> None:
    data_dir, folder, new_dir = tmp_path / "data", tmp_path / "backup", tmp_path / "new"
    with running_appliance(data_dir, models, storage_server="minio") as old:
        job_id, file_id = fill(old)
        wait_for(lambda: idle(data_dir))
        said = command(old, "backup", folder, "--secrets", "--data-dir", data_dir)
        assert "10 objects, of which 10" in said
        rows, objects = rows_of(data_dir / "appliance.db"), objects_of(data_dir)
        key = old.key
    command(old, "restore", folder, "--data-dir", new_dir)
    restored = rows_of(new_dir / "appliance.db")
    assert rows.keys() == restored.keys()
    for table in rows.keys() - set(CHANGING):
        assert restored[table] == rows[table], table
    with running_appliance(new_dir, models, storage_server="minio") as new:
        assert objects_of(new_dir) == objects
        assert "Everything agrees." in command(new, "verify", "--data-dir", new_dir)
        api = Api(new.url, key)
        assert api.file(job_id, file_id)["detections"] == LOUD_DETECTIONS
        assert api.finished_file(job_id, api.send(job_id, loud_wav()))["detections"] == LOUD_DETECTIONS
    orphan = "tenant-1/media/00000000-0000-0000-0000-000000000000/original"
    minio = new_dir / "objects" / "minio" / "audio"
    lost = next(key for key in objects if key.startswith("tenant-1/inference-"))
    (minio / orphan).parent.mkdir(parents=True)
    (minio / lost).rename(minio / orphan)
    planned = command(new, "verify", "--repair", "--data-dir", new_dir, code=1)  # nobody agrees
    assert f"Delete {orphan}, which no row names." in planned
    assert "Note the loss of the " in planned
    assert (minio / orphan).exists()
    assert "Done: 2 repairs." in command(new, "verify", "--repair", "--yes", "--data-dir", new_dir)
    assert not (minio / orphan).exists()
