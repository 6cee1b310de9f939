"""The simulation agrees with what can be computed, and the coordinator that it is checked against does real work."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.state.database import Database
from tests.scale import coordinator
from tests.scale.simulation import Cluster, Costs, coordinator_limit, simulate, storage_limit

COSTS = Costs(transaction=400e-6, flush=100e-6, claim=70e-6, presign=60e-6, finish=70e-6)


def cluster(gpus: int, shipment_files: int, **changes: float) -> Cluster:
    values = {"gpu_speed": 12_000.0, "decode_speed": 1e9, "gets_per_second": 1e15, "storage_bytes_per_second": 1e15}
    return Cluster(gpus=gpus, clip_seconds=10.0, shipment_files=shipment_files, decode_cores=12, **(values | changes))


@pytest.mark.parametrize("size", [1, 8, 64])
def test_a_full_coordinator_gives_what_its_costs_allow(size: int) -> None:
    run = simulate(COSTS, cluster(100, size), 500 * size)
    assert run.files_per_second == pytest.approx(coordinator_limit(COSTS, size), rel=0.03)
    assert run.coordinator > 0.97


def test_a_storage_or_decoders_that_are_full_hold_the_gpus_up() -> None:
    slow = cluster(10, 8, gets_per_second=500.0)
    run = simulate(COSTS, slow, 8_000)
    assert run.files_per_second == pytest.approx(storage_limit(slow), rel=0.03)
    assert run.storage > 0.97
    few = cluster(1, 64, decode_speed=100.0)  # 12 cores: 1,200 seconds a second, a tenth of what the GPU could take
    run = simulate(COSTS, few, 6_400)
    assert run.files_per_second == pytest.approx(120, rel=0.03)


def test_gpus_that_are_few_are_as_busy_as_files_arrive() -> None:
    assert simulate(COSTS, cluster(1, 64), 64_000).gpus > 0.97
    assert simulate(COSTS, cluster(1, 64), 64_000, load=0.5).gpus == pytest.approx(0.5, rel=0.03)


def test_the_real_coordinator_completes_every_file_once(tmp_path: Path) -> None:
    run = coordinator.run(tmp_path / "run", cluster(2, 16), 100, flush=0.001)
    assert 0 < run.coordinator <= 1
    [database] = [*tmp_path.rglob("appliance.db")]
    db = Database(database)
    rows = db.all("SELECT status, num_detections, count(*) FROM inference_files GROUP BY 1, 2")
    assert [tuple(row) for row in rows] == [("completed", 5, 100)]
    assert db.all("SELECT * FROM work") == []


def test_all_costs_are_measured(tmp_path: Path) -> None:
    costs = coordinator.measure(tmp_path / "costs", files=200)
    assert min(costs.flush, costs.claim, costs.presign, costs.finish) > 0
