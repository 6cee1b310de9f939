"""``python -m tests.scale.nodes``: what a node costs over the box alone, in CPU time and in the wait for one clip.

A box without nodes and a box with one node do the same work in turns, with the bundled model, on one machine and in a
network namespace of their own. Everything counts that belongs to a box: Ray's own processes too, but not storage.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from appliance.state.database import Database
from tests.bench.recordings import sound
from tests.chaos.cluster import ALONE, Cluster, loopback_up
from tests.support.appliances import ROOT, Api, Appliance, descendants, make_models, running_appliance, wait_for
from tests.support.encoded_files import wav
from tests.support.external_storage import external_storage

INSIDE = "NODES_IN_NAMESPACE"
MODEL = "artifacts"
RATE_HZ = 44_100
CLIP_SECONDS = 10.0
CLIPS = 24
ROUNDS = 4
SINGLE_CLIPS = 15


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of processes and of their children that have ended, added up."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def of_box(appliance: Appliance, *nodes: subprocess.Popen[bytes]) -> list[int]:
    """Process ids of a box and of its nodes."""
    roots = [appliance.process.pid, *(node.pid for node in nodes)]
    return [*roots, *(pid for root in roots for pid in descendants(root))]


def seconds_of_job(api: Api, clip: bytes, pids: list[int]) -> float:
    """Return the CPU time for a job."""
    before = cpu_seconds(pids)
    job_id = api.make_job(MODEL)
    for _ in range(CLIPS):
        api.send(job_id, clip)
    job = api.finished_job(job_id, 600)
    assert {file["status"] for file in job["files"]} == {"completed"}
    return cpu_seconds(pids) - before


def seconds_of_clip(appliance: Appliance, clip: bytes) -> float:
    """Return how long one clip takes on an idle box, from its confirmation to its result."""
    api, database = appliance.api, Database(appliance.data_dir / "appliance.db")
    job_id = api.make_job(MODEL)
    file_id = api.upload(job_id, clip)
    began = time.monotonic()
    api.confirm(job_id, file_id)
    query = "SELECT 1 FROM inference_files WHERE id = ? AND status = 'completed'"
    wait_for(lambda: database.all(query, [file_id]), 120, 0.002)
    return time.monotonic() - began


def measure(folder: Path) -> None:
    """Print both figures."""
    models = make_models(folder / "models")
    (models / MODEL).symlink_to(ROOT / "model_store" / MODEL)
    settings: dict[str, object] = {"default_model": MODEL, "decoders": 2, "scoring_calls": 1, "keep_scores": False}
    clip = wav(sound(CLIP_SECONDS, RATE_HZ, 1)[:, 0], RATE_HZ)
    with (
        external_storage("minio", folder / "storage") as storage,
        running_appliance(folder / "local", models, **(storage | settings)) as local,
        contextlib.closing(Cluster(folder, models, **settings)) as cluster,
    ):
        node = cluster.join("one")
        cluster.wait_for_states(one="ready")
        remote = cluster.box.appliance
        for appliance in (local, remote):  # the models are loaded
            seconds_of_job(appliance.api, clip, [])
        costs = []
        for number in range(ROUNDS):
            alone = seconds_of_job(local.api, clip, of_box(local))
            with_node = seconds_of_job(remote.api, clip, of_box(remote, node))
            costs.append((alone, with_node))
            print(
                f"round {number}: {CLIPS} clips, {alone:.2f} s of CPU alone, {with_node:.2f} s with a node", flush=True
            )
        waits = [(seconds_of_clip(local, clip), seconds_of_clip(remote, clip)) for _ in range(SINGLE_CLIPS)]
    alone, with_node = (sum(column) for column in zip(*costs, strict=True))
    print(f"CPU with a node ÷ alone: {with_node / alone:.3f}")
    for name, column in zip(("alone", "with a node"), zip(*waits, strict=True), strict=True):
        print(f"confirmed → result, one clip, {name}: median {1000 * median(column):.0f} ms")


def main() -> int:
    """Measure in namespaces of its own."""
    if INSIDE not in os.environ:
        command = [*ALONE, sys.executable, "-m", "tests.scale.nodes"]
        return subprocess.run(command, env=os.environ | {INSIDE: "1"}).returncode
    loopback_up()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
