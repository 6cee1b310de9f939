#!/usr/bin/env python
"""Measures how much a training slows down inference: the time from a confirmed upload to its detections.

``.venv/bin/python scripts/measure_training.py`` starts an appliance in a temporary folder, uploads a dataset of noise
with beeps, and sends short recordings one after another: in turns while nothing else runs, and while a training is
preparing or fitting. It prints the times as a Markdown table, and their ratios.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from appliance import ROOT
from tests.bench.figures import percentile
from tests.support.appliances import Api, post_form, running_appliance, wait_for
from tests.support.encoded_files import wav

JOBS = "/api/v1/training-jobs"
RATE_HZ, SECONDS, RECORDINGS, BEEPS = 32_000, 60, 16, 4
CLIP_SECONDS = 10
SHARES = (0.5, 0.95, 0.99)


def noise(seconds: int, seed: int, starts_ms: list[int] | None = None) -> bytes:
    """Return a WAV of noise with beeps of 200 ms."""
    samples = 0.02 * np.random.default_rng(seed).standard_normal(seconds * RATE_HZ)
    for start_ms in starts_ms or ():
        beep = 0.15 * np.sin(2 * np.pi * 1125 * np.arange(RATE_HZ // 5) / RATE_HZ)
        samples[start_ms * RATE_HZ // 1000 :][: len(beep)] += beep
    return wav(samples.astype(np.float32), RATE_HZ)


def add_dataset(api: Api, seed: int) -> str:
    """Upload recordings, each a group, with every beep annotated and all of it reviewed. Returns the dataset's id."""
    dataset_id = api.post("/api/v1/datasets", {"name": "beeps"}, 201)["id"]
    dataset = f"/api/v1/datasets/{dataset_id}"
    starts_ms = [1000 * (1 + (SECONDS - 2) * number // BEEPS) for number in range(BEEPS)]
    audio = []
    for number in range(RECORDINGS):
        content = noise(SECONDS, seed + number, starts_ms)
        declared = {"filename": f"{number}.wav", "content_type": "audio/wav", "file_size": len(content)}
        form = api.post(f"{dataset}/audio/upload-url", declared)
        post_form({"upload_url": form["upload_url"], "upload_fields": form["fields"]}, content)
        api.post(f"{dataset}/audio/confirm", {"audio_id": form["audio_id"]})
        audio.append(f"{dataset}/audio/{form['audio_id']}")
    for path in audio:
        wait_for(lambda: api.get(path)["processing_status"] == "ready", 300)  # noqa: B023
        for start_ms in starts_ms:
            mark = {"artifact_type": "beep", "start_ms": start_ms, "end_ms": start_ms + 200}
            api.post(f"{path}/annotations", mark, 201)
        api.post(f"{path}/reviews", {"labels": ["beep"]}, 201)
    return str(dataset_id)


def latencies(api: Api, job_id: str, content: bytes, seconds: float) -> list[float]:
    """Send recordings for so long, each when the last has its detections. Returns how long each took, in seconds."""
    taken = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        file_id = api.upload(job_id, content)
        began = time.perf_counter()
        api.confirm(job_id, file_id)
        while api.file(job_id, file_id)["status"] != "completed":
            time.sleep(0.005)
        taken.append(time.perf_counter() - began)
    return taken


def measure(api: Api, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return the times while nothing else ran and while a training was in each phase."""
    content, job_id = noise(CLIP_SECONDS, 0), api.make_job("artifacts")
    latencies(api, job_id, content, 5)
    times: dict[str, list[float]] = {"alone": [], "preparing": [], "fitting": []}
    for number in range(rounds):
        body: dict[str, Any] = {"dataset_ids": [add_dataset(api, 1000 * number)], "labels": ["beep"]}
        times["alone"] += latencies(api, job_id, content, seconds)
        training = f"{JOBS}/{api.post(JOBS, body, 202)['id']}"
        for phase in ("preparing", "fitting"):
            wait_for(lambda: api.get(training)["status"] == phase, 300)  # noqa: B023
            times[phase] += latencies(api, job_id, content, seconds)
            print(f"round {number}: after {phase}, the training is {api.get(training)['status']}", flush=True)
        api.post(f"{training}/cancel", None)
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="of alone, preparing and fitting")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"training_clean_minutes": 1, "storage_server": "minio", "default_model": "artifacts"}
        settings["sound_model"] = ""  # or the dataset is heard for the learned search meanwhile
        with running_appliance(Path(folder) / "data", ROOT / "model_store", **settings) as appliance:
            times = measure(appliance.api, options.rounds, options.seconds)
    print("| a training is | requests | " + " | ".join(f"p{100 * share:.0f}, ms" for share in SHARES) + " | ratios |")
    print("|---|---|" + "---|" * len(SHARES) + "---|")
    alone = [percentile(times["alone"], share) for share in SHARES]
    for phase, taken in times.items():
        figures = [percentile(taken, share) for share in SHARES]
        ratios = ", ".join(f"{figure / base:.2f}" for figure, base in zip(figures, alone, strict=True))
        cells = " | ".join(f"{1000 * figure:.0f}" for figure in figures)
        print(f"| {'not there' if phase == 'alone' else phase} | {len(taken)} | {cells} | {ratios} |")


if __name__ == "__main__":
    main()
