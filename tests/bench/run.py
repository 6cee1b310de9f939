"""``scripts/bench [--quick] [--only PART]... [--json FILE]``: measures the appliance, prints a table and writes JSON.

Ratios are of CPU seconds if nothing else is said, since other programs may use the machine. What is compared runs in
turn, in rounds, and a figure is the median of the rounds. In wall times of ratios, the share of the machine that other
programs took is left out; times of requests and uploads are as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from appliance.engine.models.runtime import RUNTIME_VERSION
from appliance.engine.models.session import num_cores
from tests.bench import engine, memory, peers, queue_growth, served
from tests.bench.figures import HEAD, Figure

PARTS: dict[str, Callable[..., Iterator[Figure]]] = {
    "engine": engine.measure,
    "peers": peers.measure,
    "served": served.measure,
    "queue": queue_growth.measure,
    "memory": memory.measure,
}


def main() -> None:
    """Measure, print the table row by row, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less audio and fewer rounds")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be repeated")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE", help="(bench.json)")
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    print(f"{num_cores()} cores, load average {load_before:.1f} before\n\n{HEAD}", flush=True)
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or PARTS:
            place = Path(folder) / name
            place.mkdir()
            for figure in PARTS[name](place, quick=options.quick):
                print(figure.row(), flush=True)
                figures.append(figure)
    print(f"\nload average {os.getloadavg()[0]:.1f} after")
    machine = {
        "cores": num_cores(),
        "processor": platform.processor() or platform.machine(),
        "onnxruntime": RUNTIME_VERSION,
        "load_average": [load_before, os.getloadavg()[0]],
    }
    rows = [asdict(figure) | {"value": figure.value, "reached": figure.reached} for figure in figures]
    options.json.write_text(json.dumps({"machine": machine, "figures": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
