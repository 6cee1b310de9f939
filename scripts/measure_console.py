#!/usr/bin/env python
"""Measures the console over a real appliance with toy models: many open tabs in Chromium, and sliders.

``.venv/bin/python scripts/measure_console.py tabs sliders`` prints a line for each of them.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser

from appliance.config import load_settings
from appliance.engine.scoring.events import LabelRule
from appliance.engine.scoring.kept import ScoreKeeper
from appliance.engine.scoring.levels import Levels
from appliance.services.box import open_box
from appliance.state import inference_files
from tests.console.pages import console
from tests.support.appliances import Appliance, make_models, running_appliance
from tests.support.browser import open_browser
from tests.support.toy_recordings import loud_wav


def quantiles(values: Iterable[float]) -> str:
    """Return the median and the 95th percentile."""
    cuts = statistics.quantiles(values, n=20)
    return f"p50 {statistics.median(values):.0f} ms, p95 {cuts[18]:.0f} ms"


def tabs(appliance: Appliance, browser: Browser) -> str:
    """50 tabs on the list of jobs: how long the next one takes to open, and a change to be seen."""
    api = appliance.api
    with console(browser, appliance) as tab:
        opened = []
        for _ in range(50):
            page = tab.page.context.new_page()
            began = time.monotonic()
            page.goto(f"{appliance.url}/console/#/jobs")
            page.get_by_role("heading", name="Jobs").wait_for()
            opened.append(1000 * (time.monotonic() - began))
        page.bring_to_front()
        job_id = api.make_job()
        api.upload(job_id, loud_wav())
        page.get_by_role("link", name=job_id[:8]).wait_for()  # now work runs, and the tab asks every second
        seen = []
        for _ in range(10):
            other = api.make_job()
            began = time.monotonic()
            page.get_by_role("link", name=other[:8]).wait_for()
            seen.append(1000 * (time.monotonic() - began))
        answers = []
        for _ in range(100):
            began = time.monotonic()
            api.get("/api/v1/status")
            answers.append(1000 * (time.monotonic() - began))
    return (
        f"tabs: the 7th opens in {opened[6]:.0f} ms, the 50th in {opened[49]:.0f} ms; a change is seen after "
        f"{quantiles(seen)}; GET /api/v1/status meanwhile: {quantiles(answers)}"
    )


def sliders(appliance: Appliance, browser: Browser) -> str:
    """GET F/detections over HTTP in the scores of six hours with six labels, made up, 60 random settings."""
    api, rng = appliance.api, np.random.default_rng(0)
    job_id = api.make_job()
    file_id = api.send(job_id, loud_wav())
    api.finished_file(job_id, file_id)
    scores = (0.2 * rng.random((6 * 360_000, 6), np.float32)).astype(np.float32)
    for start in rng.integers(0, len(scores) - 100, 1800):
        scores[start : start + rng.integers(3, 100), rng.integers(6)] = rng.uniform(0.3, 1)
    archive = io.BytesIO()
    keeper = ScoreKeeper([LabelRule(f"label {n}", False, 0.7, 0.5, 100, 50) for n in range(6)], io.BytesIO())
    keeper.add(Levels.of(10.0 * np.arange(len(scores) + 1), scores))
    keeper.write(archive)
    box = open_box(load_settings(data_dir=appliance.data_dir))
    file = inference_files.get_file(box.db, job_id, file_id)
    assert file
    size = archive.tell()
    archive.seek(0)
    info = box.objects.put(file.scores_key, archive, size_bytes=size, content_type="application/zip")
    with box.db.transaction() as tx:
        inference_files.set_scores(tx, file_id, info.etag, info.size_bytes)
    path = f"/api/v1/inference-jobs/{job_id}/files/{file_id}"
    lines = []
    for name, settings in (
        ("detections", lambda: {"threshold": rng.uniform(0.25, 0.95), "merge_window_ms": int(rng.integers(0, 500))}),
        ("scores", lambda: {"end_ms": 21_600_000, "points": 4000}),
    ):
        times = []
        for _ in range(61):
            began = time.monotonic()
            api.get(f"{path}/{name}", params=settings())
            times.append(1000 * (time.monotonic() - began))
        lines.append(f"{name}: first {times[0]:.0f} ms, then {quantiles(times[1:])}")
    return "sliders: " + "; ".join(lines)


def main() -> None:
    """Measure what the command line names."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_browser("--autoplay-policy=no-user-gesture-required") as browser,
    ):
        models = make_models(Path(folder) / "models")
        with running_appliance(Path(folder) / "data", models, storage_server="minio") as appliance:
            for measure in (tabs, sliders):
                if measure.__name__ in sys.argv[1:]:
                    print(measure(appliance, browser), f"(load average {os.getloadavg()[0]:.1f})", flush=True)


if __name__ == "__main__":
    main()
