"""Faults at random in a cluster of a box and its nodes, under load, and then the audit. ``scripts/chaos --nodes``.

The seed decides what is killed and the pauses in between, but not what the processes do meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.chaos.audit import audit
from tests.chaos.clients import Ledger
from tests.chaos.cluster import ALONE, Cluster, loopback_up
from tests.chaos.cluster_faults import Faults, reactions
from tests.chaos.run import Run, sending
from tests.support.appliances import make_models, wait_for
from tests.support.receivers import receiving

INSIDE = "CHAOS_IN_NAMESPACE"
CLIENT_PAUSE_SECONDS = 0.5
# Until an engine is there again after the last fault: a head, a worker and a node have to start.
PATIENCE_SECONDS = 240.0


def run(
    folder: Path, models: Path, seed: int, kills: int, seconds: float, pause_seconds: float
) -> tuple[Run, dict[str, list[float]]]:
    """Do faults until ``kills`` or ``seconds`` are reached. Returns what came of it, and when each was noticed."""
    started, ledger, result = time.monotonic(), Ledger(), Run(seed, 0.0)
    random_source = random.Random(seed)
    with (
        receiving() as receiver,
        contextlib.closing(Cluster(folder, models, lease_seconds=10.0, engine_deadline_seconds=20)) as cluster,
        contextlib.closing(Faults(cluster, random_source)) as faults,
    ):
        cluster.join_all("one", "two", "three")
        cluster.wait_for_states(one="ready", two="ready", three="ready")
        with sending(cluster.box, receiver, ledger, seed, wait=lambda: time.sleep(CLIENT_PAUSE_SECONDS)):
            while result.faults.total() < kills and time.monotonic() - started < seconds:
                time.sleep(random_source.expovariate(1 / pause_seconds))
                result.faults[faults.one()] += 1
            faults.close()
            wait_for(cluster.box.appliance.ready, PATIENCE_SECONDS)
        faults.restart_nodes()
        result.audit = audit(ledger, receiver, cluster.box.appliance, PATIENCE_SECONDS, cluster.storage)
        noticed = reactions(cluster.box.appliance.data_dir / "logs" / "worker.log", faults.done)
    result.seconds = time.monotonic() - started
    return result, noticed


def main() -> int:
    """Run in namespaces of its own until the time is over. Returns 1 if the audit found a defect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long there are faults (10)")
    parser.add_argument("--kills", type=int, default=10**6, help="end after this many faults")
    parser.add_argument("--seed", type=int, default=0, help="chooses the faults and the pauses (0)")
    parser.add_argument("--pause-seconds", type=float, default=5.0, help="mean pause between two faults (5)")
    parser.add_argument("--json", type=Path, help="write the figures and every defect to this file")
    options = parser.parse_args()
    if INSIDE not in os.environ:
        command = [*ALONE, sys.executable, "-m", "tests.chaos.cluster_chaos", *sys.argv[1:]]
        return subprocess.run(command, env=os.environ | {INSIDE: "1"}).returncode
    loopback_up()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        models = make_models(Path(folder) / "models")
        data = Path(folder) / "data"
        data.mkdir()
        seconds = 60 * options.minutes
        result, noticed = run(data, models, options.seed, options.kills, seconds, options.pause_seconds)
        if not result.audit.faultless:
            kept = Path(tempfile.mkdtemp(prefix="chaos-kept-"))
            data.rename(kept / "data")
            print(f"The data folder is kept in {kept}.", file=sys.stderr)
    print(result.table())
    for name, values in sorted(noticed.items()):
        print(f"noticed: {name:19} after {median(values):.1f} s, at most {max(values):.1f} s ({len(values)})")
    for name, value in vars(result.audit).items():
        for line in value if isinstance(value, list) else []:
            print(f"{name}: {line}")
    if options.json:
        figures = {"seed": result.seed, "seconds": result.seconds, "faults": result.faults, "noticed": noticed}
        options.json.write_text(json.dumps(figures | vars(result.audit), indent=1))
    return 0 if result.audit.faultless else 1


if __name__ == "__main__":
    sys.exit(main())
