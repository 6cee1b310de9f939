"""``python -m tests.scale.nodes``: what nodes cost over a box alone, in CPU time and in the latency of one clip.

Two boxes, one of them with a node, analyze the same recordings in turns, on one lane each. CPU time is that of the
worker and of the head and the node with all of Ray's processes, also those that do nothing; API, front door and storage
are the same for both.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.recordings import sound
from tests.chaos.cluster import ALONE, Cluster, loopback_up
from tests.chaos.run import Box
from tests.support.appliances import ROOT, Api, descendants, wait_for
from tests.support.encoded_files import write
from tests.support.external_storage import external_storage

INSIDE = "NODES_IN_NAMESPACE"
MODEL = "artifacts"
RATE_HZ = 44_100
FORMATS = ("wav", "flac", "mp3", "ogg")
ROUNDS, COPIES, CLIPS = 4, 8, 20
PATIENCE_SECONDS = 240.0
ONE_LANE: dict[str, Any] = {
    "decoders": 1,
    "scoring_calls": 1,
    "scoring_threads": 1,
    "poll_seconds": 0.05,
    "default_model": MODEL,
}


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of processes and all their descendants, also of those that have ended."""
    ticks = 0
    for pid in {member for root in pids for member in (root, *descendants(root))}:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def analyze(api: Api, files: list[bytes]) -> list[list[dict]]:
    """Send files in one job. Returns their detections when all have ended."""
    job_id = api.make_job(MODEL)
    for content in files:
        api.send(job_id, content)
    return [file["detections"] for file in api.finished_job(job_id, PATIENCE_SECONDS)["files"]]


def latency_ms(api: Api, clip: bytes) -> float:
    """From the confirmation of a clip to its result."""
    job_id = api.make_job(MODEL)
    file_id = api.upload(job_id, clip)
    began = time.perf_counter()
    api.confirm(job_id, file_id)
    wait_for(lambda: api.file(job_id, file_id)["status"] == "completed", PATIENCE_SECONDS, 0.005)
    return 1000 * (time.perf_counter() - began)


def measure(folder: Path) -> None:
    """Print a table."""
    models = ROOT / "model_store"
    files = [write(folder / f"take.{kind}", kind, sound(10, RATE_HZ), RATE_HZ).read_bytes() for kind in FORMATS]
    with (
        external_storage("minio", folder / "storage-alone") as storage,
        contextlib.closing(Box(folder / "alone", models, None, **(storage | ONE_LANE))) as alone,
        contextlib.closing(Cluster(folder, models, **ONE_LANE)) as cluster,
    ):
        cluster.environment |= {f"APPLIANCE_{name.upper()}": str(value) for name, value in ONE_LANE.items()}
        cluster.join_all("one")
        cluster.wait_for_states(one="ready")

        def with_node() -> list[int]:
            return [cluster.box.appliance.pid("worker"), cluster.box.appliance.pid("head"), cluster.nodes["one"].pid]

        sides: dict[str, tuple[Api, Callable[[], list[int]]]] = {
            "box alone": (alone.appliance.api, lambda: [alone.appliance.pid("worker")]),
            "box and node": (cluster.box.appliance.api, with_node),
        }
        results = {name: analyze(api, files) for name, (api, _) in sides.items()}  # loads the model
        assert results["box alone"] == results["box and node"]
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(ROUNDS):
            for name in list(sides)[:: 1 if number % 2 else -1]:
                api, pids = sides[name]
                before = cpu_seconds(pids())
                analyze(api, files * COPIES)
                seconds[name].append(cpu_seconds(pids()) - before)
        waits = {name: np.empty(CLIPS) for name in sides}
        for number in range(CLIPS):
            for name, (api, _) in sides.items():
                waits[name][number] = latency_ms(api, files[0])
    for name, values in seconds.items():
        span = f"{min(values):.2f} to {max(values):.2f}"
        print(f"{name:13} CPU {statistics.median(values):6.2f} s ({span}) for {len(files) * COPIES} files")
        print(f"{'':13} one clip {np.median(waits[name]):.0f} ms, fastest {waits[name].min():.0f}")


def main() -> int:
    """Run in namespaces of its own."""
    if INSIDE not in os.environ:
        command = [*ALONE, sys.executable, "-m", "tests.scale.nodes"]
        return subprocess.run(command, env=os.environ | {INSIDE: "1"}).returncode
    loopback_up()
    with tempfile.TemporaryDirectory(prefix="n-") as folder:
        measure(Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
