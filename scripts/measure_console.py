#!/usr/bin/env python
"""Measures the console in Chromium over a real appliance with toy models: review, upload, open tabs, sliders.

``.venv/bin/python scripts/measure_console.py review upload tabs sliders`` prints a line for each of them.
"""

from __future__ import annotations

import hashlib
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import requests
from playwright.sync_api import Browser, Page, expect

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

# Notes the time from a key to the sound of the clip that it leads to.
NOTE_KEYS = """() => {
  window.waits = [];
  let pressed = 0;
  addEventListener("keydown", () => (pressed = performance.now()), true);
  document.querySelector("console-review").player.addEventListener("play", () => {
    if (pressed) window.waits.push(performance.now() - pressed);
    pressed = 0;
  });
}"""
SOUNDS = "(count) => window.waits.length >= count"


def quantiles(values: Iterable[float]) -> str:
    """Return the median and the 95th percentile."""
    cuts = statistics.quantiles(values, n=20)
    return f"p50 {statistics.median(values):.0f} ms, p95 {cuts[18]:.0f} ms"


def review(appliance: Appliance, browser: Browser) -> str:
    """1,000 detections in 300 files, with a reload, an outage of 5 s and another tab's worth of speed midway."""
    api = appliance.api
    job_id = api.make_job()
    for number in range(300):
        places = [(40 + 120 * place, 80 + 120 * place) for place in range(4 if number < 100 else 3)]
        api.send(job_id, loud_wav(num_frames=560, loud=places), name=f"{number:03}.wav")
    api.finished_job(job_id, seconds=300)
    waits: list[float] = []
    with console(browser, appliance) as tab:
        page = tab.page
        tab.open(f"#/jobs/{job_id}/review")
        began = time.monotonic()
        for first, last in ((0, 400), (400, 700), (700, 1000)):
            page.locator("table.queue tbody tr").first.wait_for()
            if first:
                page.goto(f"{appliance.url}/console/#/jobs/{job_id}/review?state=unreviewed&from={first}")
                page.reload()  # in mid-review: what was not stored yet must not be lost
                page.get_by_text(f"{1000 - first:,}".replace(",", "")).first.wait_for()
            page.locator("table.queue tbody tr").first.click()
            page.evaluate(NOTE_KEYS)
            _decide(page, last - first, outage=first == 400)
            waits += page.evaluate("window.waits")
            expect(page.locator(".status.queued")).to_have_count(0, timeout=60_000)
        seconds = time.monotonic() - began
    progress = api.get(f"/api/v1/inference-jobs/{job_id}/review-queue")["progress"]
    files = api.job(job_id)["files"]
    stored = sum(len(api.get(f"/api/v1/inference-jobs/{job_id}/files/{f['id']}/reviews")["reviews"]) for f in files)
    return f"review: {progress}, {stored} reviews stored, {seconds:.0f} s; key to sound: {quantiles(waits)}"


def _decide(page: Page, count: int, *, outage: bool) -> None:
    for number in range(count - 1):
        if outage and number == 100:
            page.route("**/reviews/**", lambda route: route.abort())
        if outage and number == 130:
            page.wait_for_timeout(5000)
            page.unroute("**/reviews/**")
        page.keyboard.press("c" if number % 3 else "x")
        page.wait_for_function(SOUNDS, arg=number + 1)
    page.keyboard.press("c")


def upload(appliance: Appliance, browser: Browser) -> str:
    """1,000 files in three levels of folders, 250 of them in one; the tab is closed at half, and a new one goes on."""
    api = appliance.api
    with tempfile.TemporaryDirectory() as folder:
        sums = set()
        for number in range(1000):
            place = Path(folder) / ("many" if number < 250 else f"a{number % 5}/b{number % 7}")
            place.mkdir(parents=True, exist_ok=True)
            content = loud_wav(num_frames=40) + os.urandom(8)  # no two are the same; what follows the audio is ignored
            (place / f"{number:04}.wav").write_bytes(content)
            sums.add(hashlib.sha256(content).hexdigest())
        context = browser.new_context()
        posts: list[str] = []
        context.on("request", lambda one: one.method == "POST" and "/audio" in one.url and posts.append(one.url))
        began, job_id, reached = time.monotonic(), "", 0
        for share in (500, 1000):
            page = context.new_page()
            page.goto(
                f"{appliance.url}/console/#/upload?job={job_id}" if job_id else f"{appliance.url}/console/#/upload"
            )
            if not job_id:
                page.get_by_label("API key").fill(appliance.key)
                page.get_by_role("button", name="Sign in").click()
                page.get_by_role("link", name="Upload").click()
            page.get_by_label("A folder").set_input_files(folder)
            page.wait_for_function(
                f"(document.querySelector('[role=status]:has(~ button), .bar [role=status]')?.textContent ?? '')"
                f".match(/^([\\\\d,]+) of/)?.[1].replace(',', '') >= {share}", timeout=300_000
            )  # fmt: skip
            job_id, reached = page.evaluate("location.hash.split('job=')[1]"), len(posts)
            page.close()
        seconds = time.monotonic() - began
        context.close()
        time.sleep(1)
        files = api.finished_job(job_id, seconds=300)["files"]
        stored = set()
        for file in files:
            url = api.get(f"/api/v1/inference-jobs/{job_id}/files/{file['id']}/download-url")["url"]
            stored.add(hashlib.sha256(requests.get(url).content).hexdigest())
    return f"upload: {len(files)} files, {reached} posts, all equal: {stored == sums}, {seconds:.0f} s"


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
            for measure in (review, upload, tabs, sliders):
                if measure.__name__ in sys.argv[1:]:
                    print(measure(appliance, browser), f"(load average {os.getloadavg()[0]:.1f})", flush=True)


if __name__ == "__main__":
    main()
