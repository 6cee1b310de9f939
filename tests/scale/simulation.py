"""A cluster, event by event: one coordinator, one storage, GPUs that each hold two shipments.

A shipment goes from the coordinator, which writes the results of an earlier one, claims files and signs their URLs, to
storage, which is read, and to a GPU, whose decoders and graph work side by side. Coordinator, storage and each GPU
serve one shipment after another.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np

ARRIVAL = -1
SLOTS = 2  # shipments that a GPU holds: one is read while the other is analyzed


@dataclass(frozen=True)
class Costs:
    """What the coordinator's steps take, in seconds."""

    transaction: float  # one transaction without its flush
    flush: float  # of the disk, at a commit
    claim: float  # each file of a transaction
    presign: float  # each file
    finish: float  # each file of a transaction, with its detections


@dataclass(frozen=True)
class Cluster:
    """The machines, and the recordings, which all have the same length."""

    gpus: int
    clip_seconds: float
    shipment_files: int
    gpu_speed: float  # seconds of audio in a second
    decode_cores: int  # for each GPU
    decode_speed: float  # seconds of audio in a second of a core
    gets_per_second: float
    storage_bytes_per_second: float
    bytes_per_audio_second: float = 32_000.0  # 16 kHz, mono, 16 bits

    @property
    def node_speed(self) -> float:
        """Seconds of audio that a GPU with its decoders analyzes in a second."""
        return min(self.gpu_speed, self.decode_cores * self.decode_speed)

    @property
    def demand(self) -> float:
        """Files per second that all GPUs together could analyze."""
        return self.gpus * self.node_speed / self.clip_seconds


@dataclass(frozen=True)
class Run:
    """What came of a run: its length in seconds, and the shares of it in which each part was busy, 0 to 1."""

    files: int
    seconds: float
    gpus: float
    coordinator: float
    storage: float

    @property
    def files_per_second(self) -> float:
        """Files per second."""
        return self.files / self.seconds


class Line:
    """A part that serves one after another."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """Return when something that comes now and takes some time is done."""
        self.free_at = max(now, self.free_at) + seconds
        self.busy += seconds
        return self.free_at


def simulate(costs: Costs, cluster: Cluster, files: int, *, load: float | None = None, seed: int = 0) -> Run:
    """Run ``files`` through a cluster.

    load : how fast files arrive, at random, as a share of what the GPUs could analyze. None: all wait from the start.
    """
    if load is None:
        arrivals = np.zeros(files)
    else:
        gaps = np.random.default_rng(seed).exponential(1 / (load * cluster.demand), files)
        arrivals = np.cumsum(gaps)
    coordinator, storage = Line(), Line()
    gpus = [Line() for _ in range(cluster.gpus)]
    # An event is a GPU with room for a shipment: when, an order among equals, the GPU, and the results that it sends.
    events = [(0.0, number, number % cluster.gpus, 0) for number in range(SLOTS * cluster.gpus)]
    order = len(events)
    to_read: list[tuple[float, int, int, int]] = []
    idle: deque[int] = deque()  # GPUs with room, for which nothing waits; one more is in an event for the next arrival
    is_awaited = False
    num_claimed = 0
    end = 0.0
    while events or to_read:
        if to_read and (not events or to_read[0][0] <= events[0][0]):
            now, _, gpu, count = heapq.heappop(to_read)
            read = storage.serve(now, _read_seconds(cluster, count))
            done = gpus[gpu].serve(read, count * cluster.clip_seconds / cluster.node_speed)
            heapq.heappush(events, (done, order, gpu, count))
            order += 1
            continue
        now, _, gpu, results = heapq.heappop(events)
        if results == ARRIVAL:
            is_awaited = False
        elif results:
            now = end = coordinator.serve(now, costs.transaction + costs.flush + results * costs.finish)
        if num_claimed == files:
            continue
        if arrivals[num_claimed] > now:  # nothing waits
            idle.append(gpu)
            if not is_awaited:
                is_awaited = True
                heapq.heappush(events, (arrivals[num_claimed], order, idle.popleft(), ARRIVAL))
                order += 1
            continue
        waiting = int(np.searchsorted(arrivals, now, "right")) - num_claimed
        count = min(cluster.shipment_files, waiting)
        num_claimed += count
        sent = coordinator.serve(now, costs.transaction + costs.flush + count * (costs.claim + costs.presign))
        heapq.heappush(to_read, (sent, order, gpu, count))
        order += 1
        if idle and not is_awaited and num_claimed < files:
            is_awaited = True
            heapq.heappush(events, (max(now, arrivals[num_claimed]), order, idle.popleft(), ARRIVAL))
            order += 1
    busy = sum(gpu.busy for gpu in gpus) / (cluster.gpus * end)
    return Run(files, end, busy, coordinator.busy / end, storage.busy / end)


def _read_seconds(cluster: Cluster, files: int) -> float:
    num_bytes = files * cluster.clip_seconds * cluster.bytes_per_audio_second
    return max(files / cluster.gets_per_second, num_bytes / cluster.storage_bytes_per_second)


def coordinator_limit(costs: Costs, shipment_files: int) -> float:
    """Return the files per second at which the coordinator is full."""
    each = costs.claim + costs.presign + costs.finish
    return shipment_files / (2 * (costs.transaction + costs.flush) + shipment_files * each)


def storage_limit(cluster: Cluster) -> float:
    """Return the files per second at which storage is full."""
    return 1 / _read_seconds(cluster, 1)
