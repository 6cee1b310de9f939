"""A power cut between any two writes of the Python processes: the database stays whole, and no promise is broken.

The writes are recorded with strace and applied to a disk that forgets what was not synced. Object storage has a process
of its own and is not part of this.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.state.database import Database
from tests.chaos.disk import RECORDED, Call, Disk, read_calls
from tests.support.appliances import ROOT
from tests.support.boxes import CONTENT

NUM_CUTS = int(os.environ.get("CHAOS_POWER_CUTS", "150"))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, models: Path) -> tuple[Path, list[Call]]:
    """The folder of the workload, and its calls."""
    folder = tmp_path_factory.mktemp("power")
    data_dir, trace = folder / "data", folder / "trace"
    data_dir.mkdir()
    workload = [sys.executable, "-m", "tests.chaos.workload", str(data_dir), str(models), str(folder / "acknowledged")]
    strace = ["strace", "-f", "-y", "-xx", "-s", "10000000", "-e", f"trace={RECORDED}", "-o", str(trace)]
    subprocess.run([*strace, *workload], cwd=ROOT, check=True)
    return folder, list(read_calls(trace))


def cuts(folder: Path, calls: list[Call]) -> Iterator[tuple[Disk, list[list]]]:
    """After each change of the disk that comes after the first promise: the disk, and the promises so far."""
    disk, promises = Disk(folder / "data"), list[list]()
    for call in calls:
        if call.path == str(folder / "acknowledged"):
            if call.name == "write":
                promises.append(json.loads(call.data))
        elif disk.holds(call.path):
            disk.apply(call)
            if promises:
                yield disk, promises


def check(folder: Path, promises: list[list]) -> None:
    """The database in the folder is whole, and holds every promise."""
    database = Database(folder / "appliance.db")
    integrity = database.one("PRAGMA integrity_check")
    assert integrity is not None
    assert integrity["integrity_check"] == "ok"
    assert database.all("PRAGMA foreign_key_check") == []
    for table, row_id, statuses in promises:
        row = database.one(f"SELECT * FROM {table} WHERE id = ?", [row_id])
        assert row is not None, (table, row_id)
        assert row["status"] in statuses
        if row["status"] == "spooled":
            assert (folder / "spool" / row["batch_id"] / row_id).read_bytes() == CONTENT


@pytest.mark.slow
def test_a_power_cut_breaks_no_promise(recording: tuple[Path, list[Call]], tmp_path: Path) -> None:
    folder, calls = recording
    total = sum(1 for _ in cuts(folder, calls))
    assert total > 500  # the recording holds the writes of the database
    luck = random.Random(1)
    chosen = set(luck.sample(range(total), min(NUM_CUTS, total)))
    for number, (disk, promises) in enumerate(cuts(folder, calls)):
        if number in chosen:
            for chance in (None, luck):
                target = tmp_path / "cut"
                target.mkdir()
                disk.write_to(target, chance)
                check(target, promises)
                shutil.rmtree(target)


@pytest.mark.slow
def test_the_disk_forgets_what_was_not_synced(recording: tuple[Path, list[Call]], tmp_path: Path) -> None:
    """If fsync is not called after the first promise, the same recording breaks promises: the test above can fail."""
    folder, calls = recording
    first = next(number for number, call in enumerate(calls) if call.path == str(folder / "acknowledged"))
    unsynced = calls[:first] + [call for call in calls[first:] if call.name != "sync"]
    *_, (disk, promises) = cuts(folder, unsynced)
    disk.write_to(tmp_path, None)
    assert promises
    with pytest.raises(AssertionError):
        check(tmp_path, promises)
