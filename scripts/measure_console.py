#!/usr/bin/env python
"""Measures the console over a real appliance with toy models, in Chromium.

``.venv/bin/python -m scripts.measure_console tabs sliders folder review long`` prints a line for each of them. ``long``
makes a recording of six hours first, or takes the one that ``--recording`` names.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from playwright.sync_api import Browser, Page, expect

from appliance.config import load_settings
from appliance.engine.scoring.events import LabelRule
from appliance.engine.scoring.kept import ScoreKeeper
from appliance.engine.scoring.levels import Levels
from appliance.services.box import open_box
from appliance.state import inference_files
from tests.console.pages import console
from tests.support.appliances import Appliance, make_models, running_appliance, wait_for
from tests.support.browser import open_browser
from tests.support.encoded_files import wav
from tests.support.toy_recordings import RATE_HZ, loud_frames, loud_wav


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


def folder(appliance: Appliance, browser: Browser) -> str:
    """1,000 files in three levels of folders; the tab is closed at half, and the folder is chosen again."""
    api, posts = appliance.api, list[str]()
    hashes, digests = dict[str, str](), dict[str, str]()

    def send(page: Page, place: str, until: str) -> None:
        page.on("request", lambda request: posts.append(request.url))
        page.goto(f"{appliance.url}/console/{place}")
        page.get_by_label("A folder").set_input_files(root)
        expect(page.get_by_text(re.compile(until))).to_be_visible(timeout=250_000)

    with tempfile.TemporaryDirectory() as name, console(browser, appliance) as tab:
        root = Path(name) / "concert"
        for number in range(1000):
            level = "all" if number < 250 else f"{number % 30}/{number % 5}"
            path = root / level / f"{number:04}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wav(loud_frames(20, [], number), RATE_HZ))
            hashes[str(path.relative_to(name))] = hashlib.sha256(path.read_bytes()).hexdigest()
        page = tab.page.context.new_page()
        send(page, "#/upload?model=loud-frames", r"^[5-9]\d\d of 1,000")
        place = page.evaluate("location.hash")
        noted = "Object.values(JSON.parse(Object.entries(localStorage).find(([key]) => key.startsWith('upload:'))[1]))"
        done = page.evaluate(f"{noted}.filter((one) => one.done).length")
        page.close(run_before_unload=False)
        send(tab.page, place, r"^1,000 of 1,000")
        forms = sum(bool(re.search(r"/audio/?$", url)) for url in posts)
    job_id, cursor = place.split("job=")[1], None
    while not digests or cursor:
        page = api.get(f"/api/v1/inference-jobs/{job_id}/files", params={"limit": 200, "cursor": cursor})
        cursor = page["next_cursor"]
        for file in page["files"]:
            if file["status"] != "pending":
                url = api.get(f"/api/v1/inference-jobs/{job_id}/files/{file['id']}/download-url")["url"]
                digests[file["original_filename"]] = hashlib.sha256(api.session.get(url).content).hexdigest()
    same = sum(digests.get(name) == digest for name, digest in hashes.items())
    return (
        f"folder: {done} of 1,000 were sent when the tab was closed; {forms} posts in all; {same} have the same SHA-256"
    )


# The time from a key to the sound of the next detection: a clip is scheduled 10 ms after the player says that it plays.
NOTE_SOUNDS = """() => {
  window.heard = [];
  const { player } = document.querySelector("console-review");
  player.addEventListener("play", () => {
    heard.push(performance.now() - pressed + 10 + 1000 * player.context.baseLatency);
  });
}"""
NEXT_SOUND = """(known) => new Promise((resolve) => {
  const look = () => (heard.length > known ? resolve(heard.at(-1)) : requestAnimationFrame(look));
  look();
})"""


def review(appliance: Appliance, browser: Browser) -> str:
    """1,000 detections in 300 files, decided at one key each, with an outage of 5 s and a reload midway."""
    api, spans = appliance.api, [(20, 40), (70, 90), (120, 140), (170, 190)]
    job_id, total = api.make_job(merge_window_ms=0), 1000
    for number in range(300):
        api.send(job_id, loud_wav(loud=spans if number % 3 == 0 else spans[:3]), name=f"{number:03}.wav")
    api.finished_job(job_id, seconds=250)
    times = list[float]()
    with console(browser, appliance) as tab:
        page = tab.page
        page.add_init_script("addEventListener('keydown', () => (window.pressed = performance.now()), true)")
        page.reload()

        def begin(number: int) -> None:
            page.evaluate("window.pressed = performance.now()")
            page.locator(f"tr[aria-rowindex='{number + 1}']").click()
            page.evaluate(NOTE_SOUNDS)

        tab.open(f"#/jobs/{job_id}/review")
        begin(0)
        back = None
        for number in range(total):
            if number == 400:
                page.context.set_offline(True)
                back = time.monotonic() + 5
            if back and time.monotonic() > back:
                page.context.set_offline(False)
                back = None
            if number == 600:
                page.reload()
                page.locator("table.queue").wait_for()
                page.evaluate(f"document.querySelector('console-review').go({number}, false)")
                begin(number)
            known = page.evaluate("heard.length")
            page.keyboard.press("x" if number % 3 == 0 else "c")
            if back:
                page.wait_for_timeout(200)
            elif number < total - 1:
                times.append(page.evaluate(NEXT_SOUND, known))
        expect(page.get_by_text("to be stored")).to_have_count(0, timeout=60_000)
    cursor, items = None, list[Any]()
    while not items or cursor:
        part = api.get(f"/api/v1/inference-jobs/{job_id}/review-queue", params={"limit": 200, "cursor": cursor})
        items, cursor = items + part["items"], part["next_cursor"]
    wanted = ["rejected" if number % 3 == 0 else "confirmed" for number in range(total)]
    verdicts = [item["review"] and item["review"]["verdict"] for item in items]
    right = sum(verdict == want for verdict, want in zip(verdicts, wanted, strict=True))
    files = {str(item["file_id"]) for item in items}
    stored = sum(len(api.get(f"/api/v1/inference-jobs/{job_id}/files/{file}/reviews")["reviews"]) for file in files)
    return (
        f"review: {len(items)} detections in {len(files)} files; {right} have their verdict, {stored} reviews are "
        f"stored; the next one sounds after {quantiles(times)} ({len(times)} times)"
    )


# Resolves with the milliseconds until all that the timeline wants is drawn, from the time at which two seconds from a
# start on are shown, if there is one.
DRAWN = """(start) => new Promise((resolve) => {
  const began = performance.now();
  if (start !== null) document.querySelector("console-timeline").axis.show(start, start + 2000);
  const look = () => {
    const timeline = document.querySelector("console-timeline");
    const tiles = timeline?.tiles;
    if (tiles && !timeline.painting && !tiles.running && !tiles.waiting.length && tiles.kept.size
      && [...tiles.kept.values()].every((tile) => tile.picture)) resolve(performance.now() - began);
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(() => requestAnimationFrame(look));
})"""
SEEN = """async (link) => {
  const began = performance.now();
  link.click();
  for (;;) {
    await new Promise(requestAnimationFrame);
    const timeline = document.querySelector("console-timeline");
    if (timeline?.peaks && timeline.events.length && timeline.canvas && !timeline.painting
      && timeline.peaks.columns(timeline.axis).low.every((value) => !Number.isNaN(value))) break;
  }
  const sizes = performance.getEntriesByType("resource").filter((one) => one.startTime > began);
  return [performance.now() - began, sizes.reduce((sum, one) => sum + one.transferSize, 0)];
}"""

# Notes how long the work of each frame takes from now on.
TIME_FRAMES = """() => {
  window.frameTimes = [];
  const ask = window.requestAnimationFrame;
  window.requestAnimationFrame = (work) => ask((now) => {
    const began = performance.now();
    work(now);
    window.frameTimes.push(performance.now() - began);
  });
}"""


def long_recording(path: Path) -> None:
    """Six hours of soft noise in one channel at 48 kHz, with a loud second each minute."""
    minute = np.random.default_rng(0).integers(-2, 3, 60 * 48_000).astype(np.int16)
    minute[:48_000] = 16_000
    with soundfile.SoundFile(path, "w", 48_000, 1, "PCM_16", format="FLAC") as file:
        for _ in range(360):
            file.write(minute)


def long(appliance: Appliance, browser: Browser, path: Path) -> str:
    """Six hours: until they are seen, the zoom to one sample a pixel, the spectrogram of all and of two seconds."""
    api, random = appliance.api, np.random.default_rng(0)
    job_id = api.make_job()
    api.send(job_id, path.read_bytes(), name="six hours.flac")
    api.finished_job(job_id, seconds=280)
    with console(browser, appliance) as tab:
        page = tab.page
        tab.open(f"#/jobs/{job_id}")
        seen, size = page.get_by_role("link", name="six hours.flac").evaluate(SEEN)
        whole = page.evaluate(DRAWN, None) + seen
        timeline = "document.querySelector('console-timeline')"
        page.locator("canvas").hover()
        page.evaluate(TIME_FRAMES)
        while page.evaluate(f"{timeline}.axis.msPerPx") > 1000 / 48_000:
            page.mouse.wheel(0, -120)
            page.wait_for_timeout(20)
        wait_for(lambda: page.evaluate(f"Boolean({timeline}.samples)"))
        frames, per_px = page.evaluate(f"[frameTimes, {timeline}.axis.msPerPx]")
        starts = (int(start) for start in random.integers(0, 21_590_000, 60))
        tiles = [page.evaluate(DRAWN, start) for start in starts]
    return (
        f"long: seen after {seen:.0f} ms and {size / 1000:.0f} kB; zoomed to {1000 * per_px:.1f} us a pixel, a frame "
        f"takes {quantiles(frames)}; spectrogram of all after {whole / 1000:.1f} s, of two seconds after "
        f"{quantiles(tiles)}"
    )


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measures", nargs="+", choices=["tabs", "sliders", "folder", "review", "long"])
    parser.add_argument("--recording", type=Path, help="six hours with detections, made if the file does not exist")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        open_browser("--autoplay-policy=no-user-gesture-required") as browser,
    ):
        recording = arguments.recording or Path(temporary) / "six.flac"
        if "long" in arguments.measures and not recording.exists():
            long_recording(recording)
        models = make_models(Path(temporary) / "models")
        with running_appliance(Path(temporary) / "data", models, storage_server="minio") as appliance:
            for name in arguments.measures:
                line = long(appliance, browser, recording) if name == "long" else MEASURES[name](appliance, browser)
                print(line, f"(load average {os.getloadavg()[0]:.1f})", flush=True)


MEASURES = {"tabs": tabs, "sliders": sliders, "folder": folder, "review": review}

if __name__ == "__main__":
    main()
