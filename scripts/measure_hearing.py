"""Measures how much the learned search slows down inference while it hears recordings in the background.

``.venv/bin/python scripts/measure_hearing.py`` runs a worker without storage and API that has many recordings to hear,
and sends it short ones to analyze, one after another. Hearing is held back during every second one, so that whatever
else the machine does is in both halves. It prints a row of a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from appliance import ROOT
from appliance.services.datasets import work as dataset_work
from appliance.services.datasets.datasets import create_dataset
from appliance.state import audio as audio_rows
from tests.bench.figures import percentile
from tests.support.encoded_files import wav
from tests.support.training_material import add_recording
from tests.worker.test_worker import WorkerFixture

TO_HEAR, TO_HEAR_SECONDS, CLIP_SECONDS, PAUSE_SECONDS = 60, 60, 10, 0.15
SHARES = (0.5, 0.95, 0.99)


def noise(seconds: int, rate_hz: int) -> bytes:
    """Return a WAV of noise."""
    return wav((0.02 * np.random.default_rng(seconds).standard_normal(seconds * rate_hz)).astype(np.float32), rate_hz)


def measure(fixture: WorkerFixture, count: int) -> list[list[float]]:
    """Return the times in seconds while hearing was held back, and while it was not."""
    clip, job_id = noise(CLIP_SECONDS, 32_000), fixture.make_job("artifacts")
    times: list[list[float]] = [[], []]
    with fixture.working() as worker:
        for _ in range(3):
            fixture.finished_file(fixture.add(job_id, clip))
        dataset_work.enqueue_unheard(fixture.box, threading.Event())
        foreground = worker._scorers.foreground
        for number in range(2 * count):
            if number % 2 == 0:
                foreground.__enter__()
            time.sleep(PAUSE_SECONDS)
            began = time.perf_counter()
            file_id = fixture.add(job_id, clip)
            while fixture.file(file_id).status != "completed":
                time.sleep(0.002)
            times[number % 2].append(time.perf_counter() - began)
            if number % 2 == 0:
                foreground.__exit__()
        with fixture.box.db.transaction() as tx:
            tx.change("DELETE FROM work WHERE lease_owner IS NULL")
    return times


def main() -> None:
    """Print the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50, help="in each half")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"default_model": "artifacts", "sound_model": "sound", "scoring_calls": 0}
        fixture = WorkerFixture(Path(folder), ROOT / "model_store", **settings)
        dataset_id = create_dataset(fixture.box, 1, "takes", "").id
        content = noise(TO_HEAR_SECONDS, 16_000)
        for _ in range(TO_HEAR):
            recording = audio_rows.find_audio(fixture.box.db, add_recording(fixture.box, dataset_id))
            assert recording is not None
            fixture.objects.contents[recording.normalized_key] = content
        halves = [[1000 * percentile(half, share) for share in SHARES] for half in measure(fixture, options.requests)]
    cells = " | ".join(f"{a:.0f} → {b:.0f}" for a, b in zip(*halves, strict=True))
    ratios = ", ".join(f"{b / a:.2f}" for a, b in zip(*halves, strict=True))
    print(f"| hearing | {options.requests} + {options.requests} | {cells} | {ratios} |")


if __name__ == "__main__":
    main()
