"""The coordinator's part of a cluster, with the real database, presigning and detections, and what its steps cost."""

from __future__ import annotations

import heapq
import os
import statistics
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from appliance.services.inference.endings import file_ended
from appliance.services.inference.verdicts import judge
from appliance.state import inference_files, work
from appliance.state.database import Database
from appliance.state.inference_files import FileDetection
from appliance.state.work import Work
from appliance.storage.access import make_credentials
from appliance.storage.seam import connection_pool, s3_client
from tests.bench.queue_growth import filled
from tests.scale.simulation import SLOTS, Cluster, Costs, Line, Run

DETECTIONS = [FileDetection("click", 1000 * place, 1000 * place + 50, 0.9) for place in range(5)]
PAGE_BYTES = 4096
FLUSHES = 200


class Coordinator:
    """Claims files, signs their URLs and writes their results, as the worker of a cluster does."""

    def __init__(self, folder: Path, files: int) -> None:
        self.db: Database = filled(folder / "state", files, jobs=1, all_jobs=1)
        self._signer = s3_client("https://storage.internal", "us-east-1", make_credentials(), connection_pool())

    def claim(self, count: int) -> list[Work]:
        """Claim up to ``count`` files in one transaction, and move them to processing."""
        works: list[Work] = []
        with self.db.transaction() as tx:
            while len(works) < count and (item := work.claim(tx, "worker", 600.0, "lanes")):
                assert inference_files.mark_processing(tx, item.subject_id)
                works.append(item)
        return works

    def presign(self, works: list[Work]) -> None:
        """Sign a URL for each file."""
        for item in works:
            self._signer.presigned_get_object("audio", f"jobs/{item.subject_id}/original", timedelta(hours=1))

    def finish(self, works: list[Work]) -> None:
        """Write the results of files, five detections each, in one transaction."""
        with self.db.transaction() as tx:
            for item in works:
                work.finish(tx, item)
                assert inference_files.mark_completed(tx, item.subject_id, 10_000, DETECTIONS)
                judge(tx, item.subject_id, announced=False)
                file_ended(tx, item.subject_id)


def measure(folder: Path, files: int = 1_300) -> Costs:
    """Return what the steps cost on this machine now: means of shipments of 1 and of 64 files, in CPU time.

    CPU time is what other programs disturb least. The disk's flush is measured by itself.
    """
    folder.mkdir()
    coordinator = Coordinator(folder, files)
    small, large = 1, 64
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(files // (small + large)):
        for count in (small, large):
            moments = [time.process_time()]
            works = coordinator.claim(count)
            moments.append(time.process_time())
            coordinator.presign(works)
            moments.append(time.process_time())
            coordinator.finish(works)
            moments.append(time.process_time())
            for name, (start, end) in zip(("claim", "presign", "finish"), pairwise(moments), strict=True):
                times.setdefault((name, count), []).append(end - start)
    cost = {key: statistics.mean(values) for key, values in times.items()}
    each = {name: (cost[name, large] - cost[name, small]) / (large - small) for name in ("claim", "finish")}
    fixed = statistics.mean(cost[name, small] - each[name] for name in each)
    presign = cost["presign", large] / large
    return Costs(max(0.0, fixed), flush_seconds(folder), each["claim"], presign, each["finish"])


def flush_seconds(folder: Path) -> float:
    """Return the mean time in which two pages are written and flushed, as a commit to the log of SQLite does."""
    descriptor = os.open(folder / "flushes", os.O_RDWR | os.O_CREAT)
    try:
        page = os.urandom(2 * PAGE_BYTES)
        times = []
        for _ in range(FLUSHES):
            started = time.perf_counter()
            os.write(descriptor, page)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
        return statistics.mean(times)
    finally:
        os.close(descriptor)


def run(folder: Path, cluster: Cluster, files: int, flush: float) -> Run:
    """Run ``files`` through the real coordinator, with GPUs that exist on its clock alone.

    Its clock is the CPU time of its steps, and ``flush`` seconds for each commit: so other programs on the machine do
    not slow it down. Storage is left out: its limits must be out of reach.
    """
    folder.mkdir()
    coordinator = Coordinator(folder, files)
    clock = Line()
    gpus = [Line() for _ in range(cluster.gpus)]
    events: list[tuple[float, int, int, list[Work]]] = [
        (0.0, number, number % cluster.gpus, []) for number in range(SLOTS * cluster.gpus)
    ]
    order = len(events)
    while events:
        now, _, gpu, results = heapq.heappop(events)
        started = time.process_time()
        if results:
            coordinator.finish(results)
        works = coordinator.claim(cluster.shipment_files)
        coordinator.presign(works)
        commits = bool(results) + bool(works)
        sent = clock.serve(now, time.process_time() - started + commits * flush)
        if works:
            done = gpus[gpu].serve(sent, len(works) * cluster.clip_seconds / cluster.node_speed)
            heapq.heappush(events, (done, order, gpu, works))
            order += 1
    busy = sum(gpu.busy for gpu in gpus) / (cluster.gpus * clock.free_at)
    return Run(files, clock.free_at, busy, clock.busy / clock.free_at, 0.0)
