"""The whole appliance: many uploads at once, the latency of one, the speed of uploads, and the API with many jobs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import requests

from appliance import ROOT
from appliance.engine.models.session import Session, num_cores
from appliance.state import inference_jobs
from appliance.state.database import Database
from appliance.storage.access import load_access
from tests.bench import costs, recordings
from tests.bench.engine import bundled_model, detect, start
from tests.bench.figures import Figure, Rounds, percentile
from tests.support.appliances import Api, Appliance, running_appliance, wait_for

NUM_UPLOADS = 16
NUM_JOBS = 10_000
TYPES = {"wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "mp3": "audio/mpeg", "m4a": "audio/mp4"}
LATENCY_SECONDS = 10


def bundled_appliance(data_dir: Path) -> AbstractContextManager[Appliance]:
    """Run an appliance with the bundled models and the settings that users get."""
    settings = {"poll_seconds": 0.25, "sweep_seconds": 30, "scoring_calls": num_cores(), "default_model": "artifacts"}
    return running_appliance(data_dir, ROOT / "model_store", **settings)


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Yield the figures of a running appliance."""
    rounds = Rounds()
    with bundled_appliance(folder / "data") as appliance:
        for _ in range(1 if quick else 3):
            measure_uploads(appliance, rounds, size_bytes=32_000_000, pairs=3)
        measure_latency(appliance, folder, rounds, 10 if quick else 50)
        for number in range(1 if quick else 2):
            measure_throughput(appliance, folder / f"at-once-{number}", 20 if quick else 300, rounds)
        measure_requests(appliance, 5 if quick else 20, rounds)
    yield from rounds


def measure_throughput(appliance: Appliance, folder: Path, seconds: int, rounds: Rounds) -> None:
    """Upload recordings at once and wait for all results; ``detect`` does the same, its start not counted."""
    files = recordings.in_containers(folder, seconds, 3)[:NUM_UPLOADS]
    api = appliance.api
    job_id = api.make_job("artifacts")
    with costs.measured(lambda: costs.tree_seconds(appliance.process.pid)) as cost:
        with ThreadPoolExecutor(NUM_UPLOADS) as pool:
            list(pool.map(lambda path: send(appliance, job_id, path), files))
        job = wait_for(lambda: ended(api.job(job_id)), 36_000, every_seconds=0.5)
    assert job["failed_files"] == 0, job
    idle, own = start(folder), detect(files)
    rounds.add(f"`detect` ÷ appliance with {NUM_UPLOADS} uploads, CPU", (own.cpu - idle.cpu) / cost.cpu, "≥ 0.97")
    wall = (own.own_wall - idle.own_wall) / cost.own_wall
    rounds.add(f"`detect` ÷ appliance with {NUM_UPLOADS} uploads, wall", wall, "≥ 0.97")


def ended(job: Any) -> Any:
    """Return the job if all its files have ended, else None."""
    return job if job["processed_files"] == NUM_UPLOADS else None


def send(appliance: Appliance, job_id: str, path: Path) -> str:
    """Upload and confirm a recording, with a connection of its own. Returns its id."""
    kind = path.suffix[1:]
    return appliance.api.send(job_id, path.read_bytes(), name=path.name, content_type=TYPES.get(kind, f"audio/{kind}"))


def measure_latency(appliance: Appliance, folder: Path, rounds: Rounds, count: int) -> None:
    """Measure from the confirmation of an upload until its detections are read, and the bare graph beside each."""
    content = recordings.wav(folder / "latency.wav", LATENCY_SECONDS).read_bytes()
    api = appliance.api
    job_id = api.make_job("artifacts")
    session = Session(bundled_model(), "cpu")
    graphs, waits = [], []
    for number in range(count + 1):
        file_id = api.upload(job_id, content)
        graph = graph_wall(session)
        began = time.perf_counter()
        api.confirm(job_id, file_id)
        while api.file(job_id, file_id)["status"] not in ("completed", "failed"):
            time.sleep(0.005)
        if number:  # the first one loads what is loaded once
            waits.append(1000 * (time.perf_counter() - began))
            graphs.append(1000 * graph)
    rounds.add("bare graph on 10 s, ms, p50", median(graphs))
    rounds.add("confirm → detections read, 10 s WAV, ms, p50", median(waits))
    rounds.add("confirm → detections read, 10 s WAV, ms, p95", percentile(waits, 0.95))
    beyond = [wait - graph for wait, graph in zip(waits, graphs, strict=True)]
    rounds.add("the same beyond the bare graph, ms, p50", median(beyond))
    rounds.add("the same beyond the bare graph, ms, p95", percentile(beyond, 0.95), "≤ 40")


def graph_wall(session: Session) -> float:
    """Return the wall seconds of the calls that a recording of 10 s needs, as many at once as there are cores."""
    source = session.manifest.input
    num_samples = LATENCY_SECONDS * source.sample_rate_hz
    audio = recordings.sound(LATENCY_SECONDS, source.sample_rate_hz, 1)[:, 0]
    last = np.zeros(source.last_window_samples(num_samples - source.hop_samples), np.float32)
    last[: num_samples - source.hop_samples] = audio[source.hop_samples :]
    with ThreadPoolExecutor(num_cores()) as pool:
        began = time.perf_counter()
        calls = [pool.submit(session.run, window[None], "scores") for window in (audio[: source.window_samples], last)]
        for call in calls:
            call.result()
        return time.perf_counter() - began


def measure_uploads(appliance: Appliance, rounds: Rounds, size_bytes: int, pairs: int) -> None:
    """Post the same form through the front door and straight to storage, in turn."""
    job_id = appliance.api.make_job("artifacts")
    content = np.random.default_rng(0).bytes(size_bytes)
    straight = load_access(appliance.data_dir)
    url = f"{straight.endpoint}/{straight.bucket}"
    for _ in range(pairs):
        seconds = [post(appliance.api, job_id, content, target) for target in (None, url)]
        rounds.add("upload through the front door, MB/s", size_bytes / 1e6 / seconds[0])
        rounds.add("upload ÷ straight to storage", seconds[1] / seconds[0], "≥ 0.90")


def post(api: Api, job_id: str, content: bytes, url: str | None) -> float:
    """Post an upload's form, to ``url`` if there is one. Returns the wall seconds."""
    form = api.request_upload(job_id, len(content))
    request = requests.Request(
        "POST", url or form["upload_url"], data=form["upload_fields"], files={"file": ("take.wav", content)}
    ).prepare()
    with requests.Session() as session:
        began = time.perf_counter()
        response = session.send(request)
        assert response.status_code == 204, response.text
        return time.perf_counter() - began


def measure_requests(appliance: Appliance, seconds: int, rounds: Rounds) -> None:
    """Let 32 clients ask, four times a second each and then without a pause, while there are many jobs."""
    with Database(appliance.data_dir / "appliance.db").transaction() as tx:
        for number in range(NUM_JOBS):
            inference_jobs.insert_job(tx, f"job-{number}", 1, "artifacts", "artifacts", "0.1.0", {}, {})
    for pace, name in ((0.25, "4 requests/s each"), (0.0, "without a pause")):
        answer = run_clients(appliance, seconds, pace)
        rounds.add(f"API with 32 clients, {NUM_JOBS:,} jobs, {name}: requests/s", answer["per_second"])
        rounds.add(f"API, {name}: p50, ms", answer["p50_ms"])
        rounds.add(f"API, {name}: p99, ms", answer["p99_ms"], "≤ 50" if pace else "")


def run_clients(appliance: Appliance, seconds: int, pace: float) -> Any:
    """Run the clients in a process of their own. Returns what it prints."""
    command = [sys.executable, "-m", "tests.bench.api_clients", appliance.url, appliance.key, str(seconds), str(pace)]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
