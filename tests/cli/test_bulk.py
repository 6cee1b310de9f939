"""``appliance bulk`` over folders: the same bytes however often it is cut off, and bad inputs.

``BULK_FILES=20000 .venv/bin/python -m pytest tests/cli/test_bulk.py -k killed -s -n 0 --timeout 0`` kills a run over
that many files and prints its figures. ``BULK_KEYS=1000000 … -k manifest`` plans over that many empty files.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from appliance.bulk.places import FolderOutput, FolderSource
from appliance.bulk.plan import Configuration, make_plan, read_entries
from appliance.config import Settings
from appliance.engine.models.store import ModelStore
from appliance.engine.scoring.events import DetectionConfig
from tests.cli.conftest import Run
from tests.support.appliances import ROOT, environment
from tests.support.toy_recordings import LOUD_DETECTIONS, LOUD_DURATION_MS, loud_wav

pytestmark = pytest.mark.slow  # each run loads a model and starts decoder processes

NUM_FILES = int(os.environ.get("BULK_FILES", "200"))
SHARD_FILES = NUM_FILES // 10
NUM_KEYS = int(os.environ.get("BULK_KEYS", "2500"))

READ = """
import os
from appliance.bulk import shards
from appliance.bulk.analyzer import Outcome
from appliance.bulk.places import Entry

def num_threads():
    return len(os.listdir("/proc/self/task"))

before, entries = num_threads(), [Entry("a.wav", "etag", 10)]
assert shards.read_manifest(shards.write_manifest(entries)) == entries
shards.check_rows(shards.write_detections("plan", entries, [Outcome(100, [], None)]), "plan", entries)
print(num_threads() - before)
"""


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    folder = tmp_path / "takes"
    (folder / "day one").mkdir(parents=True)
    for name in ("a.wav", "b=1.wav", "day one/Größe.wav"):
        (folder / name).write_bytes(loud_wav())
    (folder / "bad.wav").write_bytes(b"Dear Sir or Madam")
    (folder / "notes.txt").write_bytes(b"no recording")
    return folder


def rows_of(out: Path) -> list[dict]:
    return [row for path in sorted((out / "detections").iterdir()) for row in pq.read_table(path).to_pylist()]


def contents_of(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_folder_becomes_shards_of_rows(run: Run, takes: Path) -> None:
    assert "4 recordings" in run("bulk", "plan", "takes", "out", "--shard-files", 3).output
    assert "0 of 2 shards." in run("bulk", "status", "out").output
    assert "is missing" in run("bulk", "verify", "out", code=1).stderr
    assert "4 of 4 recordings, 1 failed" in run("bulk", "run", "out", code=1).output  # one is no recording
    out = takes.parent / "out"
    rows = {row["key"]: row for row in rows_of(out)}
    assert set(rows) == {"a.wav", "b=1.wav", "bad.wav", "day one/Größe.wav"}
    bad = rows.pop("bad.wav")
    assert (bad["status"], bad["error_code"], bad["duration_ms"], bad["detections"]) == (
        "failed",
        "corrupt_audio",
        None,
        [],
    )
    for row in rows.values():
        assert (row["status"], row["error"], row["duration_ms"]) == ("completed", None, LOUD_DURATION_MS)
        assert row["detections"] == LOUD_DETECTIONS
    assert "2 of 2 shards, complete" in run("bulk", "status", "out").output
    assert run("bulk", "verify", "out").stderr == ""
    assert json.loads((out / "_SUCCESS").read_text())["files"] == 4

    before = contents_of(out)
    assert run("bulk", "run", "out", code=1).stderr == ""  # nothing is left to do, and the failure still counts
    (out / "detections" / "000001.parquet").unlink()
    run("bulk", "run", "out", code=1)
    assert contents_of(out) == before  # a shard that is made again has the same bytes


def test_recordings_that_vanished_or_changed_are_failed_rows(run: Run, takes: Path) -> None:
    with open(os.fsencode(takes) + b"/\xff.wav", "wb") as file:
        file.write(loud_wav())
    (takes / "link.wav").symlink_to("nowhere")
    run("bulk", "plan", "takes", "out")
    (takes / "a.wav").unlink()
    (takes / "b=1.wav").write_bytes(loud_wav(100))
    assert "6 of 6 recordings, 4 failed" in run("bulk", "run", "out", code=1).output
    rows = {row["key"]: row for row in rows_of(takes.parent / "out")}
    codes = {key: row["error_code"] for key, row in rows.items()}
    assert codes == {
        "a.wav": "object_missing",
        "b=1.wav": "object_changed",
        "bad.wav": "corrupt_audio",
        "day one/Größe.wav": None,
        "link.wav": "object_missing",
        "\\xff.wav": None,
    }
    assert rows["\\xff.wav"]["key_bytes"] == b"\xff.wav"
    run("bulk", "verify", "out")


def test_a_plan_is_not_mixed_with_another(run: Run, takes: Path) -> None:
    run("bulk", "plan", "takes", "out")
    assert "4 recordings" in run("bulk", "plan", "takes", "out").output  # the same plan
    for options, name in (
        (["--threshold", 0.9], "detection"),
        (["--model", "loud-windows"], "model"),
        (["--shard-files", 2], "shard_files"),
    ):
        assert f"another plan: {name} is" in run("bulk", "plan", "takes", "out", *options, code=1).stderr
    (takes / "empty").mkdir()
    assert "another plan: source is" in run("bulk", "plan", "takes/empty", "out", code=1).stderr
    assert "has no recordings" in run("bulk", "plan", "takes/empty", "other", code=1).stderr
    assert "not a folder" in run("bulk", "plan", "gone", "other", code=1).stderr
    assert "other things: a.wav" in run("bulk", "plan", "takes", "takes", code=1).stderr
    assert "has no plan" in run("bulk", "run", "nowhere", code=1).stderr


def test_what_was_changed_by_hand_is_refused(run: Run, takes: Path, models: Path) -> None:
    out = takes.parent / "out"
    run("bulk", "plan", "takes", "out", "--shard-files", 2)
    run("bulk", "run", "out", code=1)
    plan, shard, manifest = (
        out / "plan.json",
        out / "detections" / "000000.parquet",
        out / "manifest" / "000000.parquet",
    )
    contents = contents_of(out)

    plan.write_text(plan.read_text().replace('"threshold": null', '"threshold": 0.9'))
    assert "of another plan" in run("bulk", "run", "out", code=1).stderr
    assert "of another plan" in run("bulk", "verify", "out", code=1).stderr
    plan.write_text(plan.read_text().replace('"model_sha256": "', '"model_sha256": "0'))
    for path in (out / "detections").iterdir():
        path.unlink()
    assert "another checksum" in run("bulk", "run", "out", code=1).stderr
    plan.write_text('{"format": 2}')
    assert "plan.json is not a plan: format" in run("bulk", "status", "out", code=1).stderr
    plan.write_bytes(contents["plan.json"])

    manifest.write_bytes(contents["manifest/000001.parquet"])
    assert "manifest/000000.parquet was changed" in run("bulk", "run", "out", code=1).stderr
    manifest.unlink()
    assert "manifest/000000.parquet of the plan is missing" in run("bulk", "run", "out", code=1).stderr
    manifest.write_bytes(contents["manifest/000000.parquet"])

    shard.write_bytes(b"half a fi")
    assert "000000.parquet is not a file of results" in run("bulk", "run", "out", code=1).stderr
    shard.write_bytes(contents["detections/000001.parquet"])
    assert "another recording than the plan in row 0" in run("bulk", "verify", "out", code=1).stderr
    shard.unlink()
    run("bulk", "run", "out", code=1)
    assert contents_of(out) == contents


def test_two_runs_on_one_folder_are_refused(run: Run, takes: Path) -> None:
    run("bulk", "plan", "takes", "out")
    with (takes.parent / "out" / "plan.json").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "Another run" in run("bulk", "run", "out", code=1).stderr


def test_reading_shards_starts_no_threads_which_could_abort_the_process_at_its_end() -> None:
    process = subprocess.run([sys.executable, "-c", READ], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout == "0\n"


def test_a_run_that_is_killed_goes_on_with_the_shards_that_are_missing(models: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "takes", tmp_path / "out"
    folder.mkdir()
    recording = loud_wav(20, [(5, 15)])
    for number in range(NUM_FILES):
        (folder / f"{number}.wav").write_bytes(recording)
    env = environment(model_store=models, default_model="loud-frames") | {"PYTHONPATH": str(ROOT)}
    bulk = [sys.executable, "-m", "appliance.cli", "bulk"]
    subprocess.run(
        [*bulk, "plan", "takes", "out", "--shard-files", str(SHARD_FILES)], env=env, cwd=tmp_path, check=True
    )

    process = subprocess.Popen([*bulk, "run", "out"], env=env, cwd=tmp_path)
    while len(list((out / "detections").glob("[0-9]*"))) < 4:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in (out / "detections").glob("[0-9]*")}
    assert 4 <= len(kept) < 10
    assert not (out / "_SUCCESS").exists()

    began = time.monotonic()
    subprocess.run([*bulk, "run", "out"], env=env, cwd=tmp_path, check=True)
    print(f"{len(kept)} of 10 shards kept, the others made in {time.monotonic() - began:.0f} s")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    rows = rows_of(out)
    assert len(rows) == len({row["key"] for row in rows}) == NUM_FILES
    assert all(len(row["detections"]) == 1 for row in rows)
    subprocess.run([*bulk, "verify", "out"], env=env, cwd=tmp_path, check=True)
    assert not [path for path in out.rglob(".*") if path.is_file()]  # no left-overs


def test_a_manifest_has_every_key_once(models: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "takes", tmp_path / "out"
    for number in range(NUM_KEYS):
        if number % 1000 == 0:
            (folder / str(number)).mkdir(parents=True)
        os.close(os.open(folder / str(number - number % 1000) / f"{number}.wav", os.O_CREAT | os.O_WRONLY))
    source = FolderSource(str(folder))
    began = time.monotonic()
    listed = sum(1 for _ in source.entries())
    middle = time.monotonic()
    model = ModelStore(models).resolve("loud-frames")
    configuration = Configuration.of(str(folder), model, DetectionConfig(), Settings(), 1000)
    plan = make_plan(FolderOutput(out), source, configuration)
    end = time.monotonic()
    print(f"{listed:,} files listed in {middle - began:.1f} s, listed and written in {end - middle:.1f} s")
    assert plan.files == listed == NUM_KEYS
    assert len(plan.shards) == -(-NUM_KEYS // 1000)
    keys: set[str] = set()
    for number, shard in enumerate(plan.shards):
        entries = read_entries(FolderOutput(out), plan, number)
        assert len(entries) == shard.files <= 1000
        keys.update(entry.key for entry in entries)
    assert len(keys) == NUM_KEYS
