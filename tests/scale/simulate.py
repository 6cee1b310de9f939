"""``scripts/simulate_cluster``: how many GPUs one box can keep busy, and what is full first.

It measures the coordinator's steps, storage and decoding on this machine, simulates clusters event by event, and checks
the simulation against the real coordinator. Its time is CPU time and flushes of the disk, which other programs disturb
little. The speed of a GPU is an assumption.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.engine.decode.decoder import DecodeLimits, Decoder
from tests.bench.recordings import sound
from tests.scale import coordinator
from tests.scale.simulation import Cluster, Costs, Run, coordinator_limit, simulate, storage_limit
from tests.support.encoded_files import wav
from tests.support.servers import running_storage

CLIPS = {"10 s": 10.0, "5 min": 300.0, "1 h": 3600.0}
GPUS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SHIPMENTS = (1, 8, 64)
RATE_HZ = 16_000
GET_BYTES = 320_000  # 10 s of 16 kHz mono
GET_SECONDS = 3.0
GET_THREADS = 4
# The real coordinator runs beside the simulation: files of a shipment, GPUs, and how much of it they would need.
CHECKS = ((1, 4, 2.0), (8, 4, 2.0), (64, 4, 2.0), (16, 8, 0.5))
CHECK_FILES = 1_000
CHECK_FLUSH = 0.001


@dataclass(frozen=True)
class Machine:
    """What was measured here, apart from the coordinator."""

    gets_per_second: float
    storage_bytes_per_second: float
    decode_speed: float


def main() -> None:
    """Measure, check, simulate, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu-speed", type=float, default=12_000.0, help="× real time of a GPU, an assumption (12000)")
    parser.add_argument("--decode-cores", type=int, default=0, help="cores beside each GPU; 0 is enough of them")
    parser.add_argument("--storage-servers", type=int, default=0, help="as fast as the one here; 0 is enough of them")
    parser.add_argument("--flush-ms", type=float, help="flush of the coordinator's disk, in place of the one here")
    parser.add_argument("--no-presign", action="store_true", help="nodes hold a read-only key")
    parser.add_argument("--storage", choices=("minio", "seaweedfs"), default="seaweedfs")
    parser.add_argument("--no-check", action="store_true", help="leave out the run of the real coordinator")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        costs = coordinator.measure(folder / "costs")
        show_costs(costs)
        if not options.no_check:
            check(folder)
        machine = measure_machine(folder, options.storage)
    if options.flush_ms is not None:
        costs = replace(costs, flush=options.flush_ms / 1000)
    if options.no_presign:
        costs = replace(costs, presign=0.0)
    endless = 1e15
    servers = options.storage_servers
    cluster = Cluster(
        gpus=1,
        clip_seconds=10.0,
        shipment_files=1,
        gpu_speed=options.gpu_speed,
        decode_cores=options.decode_cores or 10**6,
        decode_speed=machine.decode_speed,
        gets_per_second=servers * machine.gets_per_second or endless,
        storage_bytes_per_second=servers * machine.storage_bytes_per_second or endless,
    )
    show_limits(costs, cluster, machine)
    show_runs(costs, cluster)
    show_million_hours(costs, cluster)


def show_costs(costs: Costs) -> None:
    """Print what the coordinator's steps cost."""
    print("## Coordinator, measured here\n\n| step | µs |\n|---|---|")
    for name, value in vars(costs).items():
        print(f"| {name} | {1e6 * value:,.0f} |")
    for size in SHIPMENTS:
        print(f"| so in shipments of {size}: files/s at most | {coordinator_limit(costs, size):,.0f} |")


def check(folder: Path) -> None:
    """Print the real coordinator's files per second beside those of the simulation with costs of the same minute."""
    print("\n## Simulation against the real coordinator\n")
    print(
        "| files in a shipment | GPUs | real, files/s | simulated, files/s | simulated ÷ real |\n|---|---|---|---|---|"
    )
    for number, (size, gpus, need) in enumerate(CHECKS):
        before = coordinator.measure(folder / f"before-{number}", files=650)
        before = replace(before, flush=CHECK_FLUSH)
        per_gpu = need * coordinator_limit(before, size) / gpus
        cluster = Cluster(gpus, 10.0, size, 10.0 * per_gpu, 10**6, 1e9, 1e15, 1e15)
        real = coordinator.run(folder / f"run-{number}", cluster, CHECK_FILES, CHECK_FLUSH)
        after = replace(coordinator.measure(folder / f"after-{number}", files=650), flush=CHECK_FLUSH)
        runs = [simulate(costs, cluster, CHECK_FILES).files_per_second for costs in (before, after)]
        simulated = sum(runs) / len(runs)
        ratio = simulated / real.files_per_second
        print(f"| {size} | {gpus} | {real.files_per_second:,.0f} | {simulated:,.0f} | {ratio:.2f} |", flush=True)


def measure_machine(folder: Path, storage: str) -> Machine:
    """Return how fast storage is read and WAV is decoded on this machine."""
    place = folder / storage
    place.mkdir()
    with running_storage(storage, place) as running:
        info = running.store.put("probe", b"\0" * GET_BYTES, content_type="audio/wav")
        end = time.perf_counter() + GET_SECONDS

        def read(_: int) -> int:
            count = 0
            while time.perf_counter() < end:
                running.store.read("probe", info.etag, 0)
                count += 1
            return count

        with ThreadPoolExecutor(GET_THREADS) as pool:
            gets = sum(pool.map(read, range(GET_THREADS))) / GET_SECONDS
        large = 32 * 1024**2
        info = running.store.put("large", b"\0" * large, content_type="audio/wav")
        began = time.perf_counter()
        for _ in range(8):
            running.store.read("large", info.etag, 0)
        bandwidth = 8 * large / (time.perf_counter() - began)
    path = folder / "take.wav"
    path.write_bytes(wav(sound(300.0, RATE_HZ, 1)[:, 0], RATE_HZ))
    with Decoder(DecodeLimits()) as decoder, path.open("rb") as file:
        for _ in range(2):  # the first starts the process
            began = time.perf_counter()
            with decoder.decode(file, RATE_HZ) as audio:
                seconds = sum(len(block) for block in audio) / RATE_HZ
            decode_speed = seconds / (time.perf_counter() - began)
    print(
        f"\n{storage}, one server: {gets:,.0f} GET/s of {GET_BYTES:,} bytes, {bandwidth / 1e6:,.0f} MB/s in large ones."
    )
    print(f"A decoder: {decode_speed:,.0f} × real time for WAV of 16 kHz mono.", flush=True)
    return Machine(gets, bandwidth, decode_speed)


def show_limits(costs: Costs, cluster: Cluster, machine: Machine) -> None:
    """Print at how many GPUs each part is full."""
    print(f"\n## Full at this many GPUs of {cluster.gpu_speed:,.0f} × real time\n")
    names = [f"coordinator, shipments of {size}" for size in SHIPMENTS]
    names += ["SQLite alone, 64", "presigning alone", "one storage server", "decode cores for each GPU"]
    print(f"| clips | files/s of a GPU | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    for name, seconds in CLIPS.items():
        each = cluster.gpu_speed / seconds
        one = replace(
            cluster,
            clip_seconds=seconds,
            gets_per_second=machine.gets_per_second,
            storage_bytes_per_second=machine.storage_bytes_per_second,
        )
        limits = [coordinator_limit(costs, size) for size in SHIPMENTS]
        limits += [coordinator_limit(replace(costs, presign=0.0), 64), 1 / max(costs.presign, 1e-9), storage_limit(one)]
        values = [f"{limit / each:,.1f}" for limit in limits]
        print(f"| {name} | {each:,.1f} | {' | '.join(values)} | {cluster.gpu_speed / machine.decode_speed:,.1f} |")


def show_runs(costs: Costs, cluster: Cluster) -> None:
    """Print how busy the GPUs are, from one to a thousand, with files that arrive as fast as the GPUs could go."""
    print("\n## GPUs busy, %, by simulation\n")
    print(
        f"| clips | files in a shipment | {' | '.join(f'{gpus:,}' for gpus in GPUS)} |\n|---|---|{'---|' * len(GPUS)}"
    )
    for name, seconds in CLIPS.items():
        for size in SHIPMENTS:
            shares = []
            for gpus in GPUS:
                here = replace(cluster, gpus=gpus, clip_seconds=seconds, shipment_files=size)
                run = simulate(costs, here, size * max(2_000, 10 * gpus), load=1.0)
                shares.append(f"{100 * run.gpus:.0f}")
            print(f"| {name} | {size} | {' | '.join(shares)} |", flush=True)


def show_million_hours(costs: Costs, cluster: Cluster) -> None:
    """Print a million hours in files of 1 h, all of which wait, on 1,000 GPUs."""
    print("\n## A million hours in files of 1 h on 1,000 GPUs, by simulation\n")
    print("| files in a shipment | minutes | GPUs busy, % | coordinator busy, % |\n|---|---|---|---|")
    for size in SHIPMENTS:
        here = replace(cluster, gpus=1000, clip_seconds=3600.0, shipment_files=size)
        run: Run = simulate(costs, here, 1_000_000)
        print(f"| {size} | {run.seconds / 60:.1f} | {100 * run.gpus:.0f} | {100 * run.coordinator:.0f} |", flush=True)


if __name__ == "__main__":
    main()
