#!/usr/bin/env python
"""Measures how much a training slows down inference: the time from a confirmed upload to its detections.

``.venv/bin/python scripts/measure_training.py`` starts an appliance in a temporary folder, uploads a dataset of noise
with beeps, trains from it, and meanwhile sends short recordings one after another. The training's process is stopped
during every second one, so that whatever else the machine does is in both halves. It prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from appliance import ROOT
from tests.bench.figures import percentile
from tests.support.appliances import Api, Appliance, descendants, post_form, running_appliance, wait_for
from tests.support.encoded_files import wav

JOBS = "/api/v1/training-jobs"
RATE_HZ, SECONDS, RECORDINGS, BEEPS = 32_000, 60, 24, 4
CLIP_SECONDS = 10
SHARES = (0.5, 0.95, 0.99)


def noise(seconds: int, seed: int, starts_ms: list[int] | None = None) -> bytes:
    """Return a WAV of noise with beeps of 200 ms."""
    samples = 0.02 * np.random.default_rng(seed).standard_normal(seconds * RATE_HZ)
    for start_ms in starts_ms or ():
        beep = 0.15 * np.sin(2 * np.pi * 1125 * np.arange(RATE_HZ // 5) / RATE_HZ)
        samples[start_ms * RATE_HZ // 1000 :][: len(beep)] += beep
    return wav(samples.astype(np.float32), RATE_HZ)


def add_dataset(api: Api) -> str:
    """Upload recordings, each a group, with every beep annotated and all of it reviewed. Returns the dataset's id."""
    dataset_id = api.post("/api/v1/datasets", {"name": "beeps"}, 201)["id"]
    dataset = f"/api/v1/datasets/{dataset_id}"
    starts_ms = [1000 * (1 + (SECONDS - 2) * number // BEEPS) for number in range(BEEPS)]
    audio = []
    for number in range(RECORDINGS):
        content = noise(SECONDS, 1 + number, starts_ms)
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


def latency(api: Api, job_id: str, content: bytes) -> float:
    """Send a recording and wait for its detections. Returns how long that took, in seconds."""
    file_id = api.upload(job_id, content)
    began = time.perf_counter()
    api.confirm(job_id, file_id)
    while api.file(job_id, file_id)["status"] != "completed":
        time.sleep(0.005)
    return time.perf_counter() - began


def trainer_of(appliance: Appliance) -> int:
    """Return the id of the process that trains, once there is one."""

    def of_worker() -> int | None:
        words = {
            pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in descendants(appliance.process.pid)
        }
        return next((pid for pid, line in words.items() if b"appliance.worker.trainer" in line), None)

    return wait_for(of_worker)


def measure(appliance: Appliance, seconds: float) -> dict[str, list[list[float]]]:
    """Return by phase the times while the training was stopped, and while it ran."""
    api = appliance.api
    content, job_id = noise(CLIP_SECONDS, 0), api.make_job("artifacts")
    body: dict[str, Any] = {"dataset_ids": [add_dataset(api)], "labels": ["beep"]}
    for _ in range(5):
        latency(api, job_id, content)
    training = f"{JOBS}/{api.post(JOBS, body, 202)['id']}"
    times: dict[str, list[list[float]]] = {}
    for phase in ("preparing", "fitting"):
        wait_for(lambda: api.get(training)["status"] == phase, 300)  # noqa: B023
        halves: list[list[float]] = [[], []]
        trainer, end = trainer_of(appliance), time.monotonic() + seconds
        try:
            while time.monotonic() < end and api.get(training)["status"] == phase:
                for half, what in zip(halves, (signal.SIGSTOP, signal.SIGCONT), strict=True):
                    os.kill(trainer, what)
                    half.append(latency(api, job_id, content))
        finally:
            with suppress(ProcessLookupError):
                os.kill(trainer, signal.SIGCONT)  # one that is stopped would outlive the appliance
        times[phase] = halves
    api.post(f"{training}/cancel", None)
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"training_clean_minutes": 1, "storage_server": "minio", "default_model": "artifacts"}
        settings["sound_model"] = ""  # or the dataset is heard for the learned search meanwhile
        with running_appliance(Path(folder) / "data", ROOT / "model_store", **settings) as appliance:
            times = measure(appliance, options.seconds)
    print("| a training is | requests | " + " | ".join(f"p{100 * share:.0f}, ms" for share in SHARES) + " | ratios |")
    print("|---|---|" + "---|" * len(SHARES) + "---|")
    for phase, (stopped, running) in times.items():
        without, with_it = ([1000 * percentile(half, share) for share in SHARES] for half in (stopped, running))
        cells = " | ".join(f"{a:.0f} → {b:.0f}" for a, b in zip(without, with_it, strict=True))
        ratios = ", ".join(f"{b / a:.2f}" for a, b in zip(without, with_it, strict=True))
        print(f"| {phase} | {len(stopped)} + {len(running)} | {cells} | {ratios} |")


if __name__ == "__main__":
    main()
