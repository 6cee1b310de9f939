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
from tests.scale.simulation import SLOTS, Cluster, Costs, Run

DETECTIONS = [FileDetection("click", 1000 * place, 1000 * place + 50, 0.9) for place in range(5)]
PAGE_BYTES = 4096
FLUSHES = 200


class Coordinator:
    """Claims files, signs their URLs and writes their results, as the worker of a cluster does."""

    def __init__(self, folder: Path, files: int, jobs: int = 1) -> None:
        self.db: Database = filled(folder / "state", files, jobs)
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


def measure(folder: Path, files: int = 6_000) -> Costs:
    """Return what the steps cost on this machine now: medians of shipments of 1 and of 64 files."""
    folder.mkdir()
    coordinator = Coordinator(folder, files)
    flush = flush_seconds(folder)
    small, large = 1, 64
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(files // (small + large)):
        for count in (small, large):
            moments = [time.perf_counter()]
            works = coordinator.claim(count)
            moments.append(time.perf_counter())
            coordinator.presign(works)
            moments.append(time.perf_counter())
            coordinator.finish(works)
            moments.append(time.perf_counter())
            for name, (start, end) in zip(("claim", "presign", "finish"), pairwise(moments), strict=True):
                times.setdefault((name, count), []).append(end - start)
    cost = {key: statistics.median(values) for key, values in times.items()}
    each = {name: (cost[name, large] - cost[name, small]) / (large - small) for name in ("claim", "finish")}
    fixed = statistics.mean(cost[name, small] - each[name] for name in each)
    presign = cost["presign", large] / large
    return Costs(max(0.0, fixed - flush), flush, each["claim"], presign, each["finish"])


def flush_seconds(folder: Path) -> float:
    """Return the median time in which two pages are written and flushed, as a commit to the log of SQLite does."""
    descriptor = os.open(folder / "flushes", os.O_RDWR | os.O_CREAT)
    try:
        page = os.urandom(2 * PAGE_BYTES)
        times = []
        for _ in range(FLUSHES):
            started = time.perf_counter()
            os.write(descriptor, page)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
        return statistics.median(times)
    finally:
        os.close(descriptor)


def run(folder: Path, cluster: Cluster, files: int) -> Run:
    """Run ``files`` through the real coordinator, with GPUs that only wait as long as they would work.

    Storage is left out: its limits must be out of reach.
    """
    folder.mkdir()
    coordinator = Coordinator(folder, files)
    gpu_free = [0.0] * cluster.gpus
    gpu_busy = spent = 0.0
    events: list[tuple[float, int, int, list[Work]]] = [
        (0.0, number, number % cluster.gpus, []) for number in range(SLOTS * cluster.gpus)
    ]
    order = len(events)
    began = time.perf_counter()
    while events:
        due, _, gpu, results = heapq.heappop(events)
        now = time.perf_counter() - began
        if due > now:
            time.sleep(due - now)
        started = time.perf_counter()
        if results:
            coordinator.finish(results)
        works = coordinator.claim(cluster.shipment_files)
        coordinator.presign(works)
        end = time.perf_counter() - began
        spent += time.perf_counter() - started
        if works:
            seconds = len(works) * cluster.clip_seconds / cluster.node_speed
            gpu_free[gpu] = max(time.perf_counter() - began, gpu_free[gpu]) + seconds
            gpu_busy += seconds
            heapq.heappush(events, (gpu_free[gpu], order, gpu, works))
            order += 1
    return Run(files, end, gpu_busy / (cluster.gpus * end), spent / end, 0.0)
