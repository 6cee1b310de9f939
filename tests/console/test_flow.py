"""A person's way through the console: sign in, upload, see the detections, listen, relabel, try other settings, export.

Once on loopback in the light theme, and once in the dark one under a name of the LAN. Over http that is no secure
context, so much of what browsers offer is missing there.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, expect

from tests.console.pages import Console, console
from tests.support.appliances import ROOT, Appliance
from tests.support.browser import LAN_NAME

DEMO = ROOT / "appliance" / "samples" / "demo.flac"
# The clip of the selected detection, as the page plays it: its rate, and its samples as they were summed up.
HEARD = """async () => {
  const page = document.querySelector("console-review");
  const [start, end] = page.stretch(page.item);
  const { rate, channels } = await page.clipsOf(page.pathOf(page.item)).get(start, end);
  return { start, end, rate, channels: channels.map((samples) => [...samples]) };
}"""


@pytest.mark.parametrize(("theme", "host"), [("light", "127.0.0.1"), ("dark", LAN_NAME)])
def test_the_whole_way(browser: Browser, appliance: Appliance, theme: Any, host: str) -> None:
    origin = f"http://{host}:{urlsplit(appliance.url).port}"
    with console(browser, appliance, origin, color_scheme=theme) as tab:
        assert tab.page.evaluate("isSecureContext") is (host == "127.0.0.1")
        job_id = upload(tab)
        api = appliance.api
        [file] = api.finished_job(job_id)["files"]
        job = f"/api/v1/inference-jobs/{job_id}"
        assert len(file["detections"]) > 5
        tab.page.get_by_role("link", name=f"job {job_id[:8]}").click()
        tab.heading(job_id)
        tab.page.get_by_role("link", name="Review", exact=True).click()
        rows = tab.page.locator("table.queue tbody tr")
        expect(rows).to_have_count(len(file["detections"]))

        listen(tab)
        # One key: the verdict is stored, and the next detection is selected and played.
        with tab.page.expect_response(lambda response: "/reviews/" in response.url) as stored:
            tab.page.keyboard.press("2")
        assert stored.value.status == 200
        expect(rows.nth(1)).to_have_attribute("aria-selected", "true")
        expect(rows.nth(0)).to_contain_text("relabelled")
        [relabelled] = api.get(f"{job}/review-queue", params={"state": "relabelled"})["items"]
        assert relabelled["detection"] == file["detections"][0]
        assert relabelled["review"]["reviewed_type"] == "dropout"

        slide(tab, api, f"{job}/files/{file['id']}")
        export(tab, api, job_id)


def upload(tab: Console) -> str:
    """Upload the recording with the bundled detector. Returns the job's id."""
    tab.page.get_by_role("link", name="Upload").click()
    tab.page.get_by_role("combobox", name="Model").select_option("artifacts")
    tab.page.get_by_label("Files", exact=True).set_input_files(DEMO)
    expect(tab.page.get_by_text("1 of 1 file")).to_be_visible()
    return str(tab.page.evaluate("location.hash.split('job=')[1]"))


def listen(tab: Console) -> None:
    """Select the first detection, which plays it: the samples are those of the file."""
    first = tab.page.locator("table.queue tbody tr").first
    loop = tab.page.get_by_role("button", name="Loop")
    loop.click()  # it sounds until it is switched off, however late this looks
    with tab.page.expect_response(lambda response: "/clip?" in response.url and response.status == 200):
        first.click()
    expect(tab.page.get_by_role("button", name="Stop")).to_be_visible()
    loop.click()
    heard = tab.page.evaluate(HEARD)
    samples, rate = soundfile.read(DEMO, dtype="float32", always_2d=True)
    assert heard["rate"] == rate
    first_sample = heard["start"] * rate // 1000
    expected = samples[first_sample : first_sample + len(heard["channels"][0])]
    assert len(expected) == (heard["end"] - heard["start"]) * rate // 1000
    assert np.array_equal(np.array(heard["channels"], np.float32).T, expected)


def slide(tab: Console, api: Any, file: str) -> None:
    """Move a slider: what would be found is shown, and then kept."""
    slider = tab.page.get_by_role("slider", name="Threshold")
    slider.fill("0.99")
    wanted = api.get(f"{file}/detections", params={"threshold": 0.99})
    assert wanted["detection_count"] < api.get(file)["detection_count"]
    expect(tab.page.locator(".found")).to_contain_text(f"{wanted['detection_count']} detections")
    assert api.get(file)["config"]["threshold"] == 0.5
    tab.page.get_by_role("button", name="Keep for this file").click()
    expect(tab.page.get_by_text(f"Kept: {wanted['detection_count']} detections.")).to_be_visible()
    kept = api.get(file)
    assert (kept["config"]["threshold"], kept["detections"]) == (0.99, wanted["detections"])
    expect(tab.page.locator("table.queue tbody tr")).to_have_count(wanted["detection_count"])


def export(tab: Console, api: Any, job_id: str) -> None:
    """Download an export: its bytes are those of the API."""
    tab.open(f"#/jobs/{job_id}")
    for format_name, name in (("csv", "CSV"), ("audacity", "Audacity")):
        with tab.page.expect_download() as download:
            tab.page.get_by_role("link", name=name).click()
        content = download.value.path().read_bytes()
        expected = api.response(
            "GET", f"/api/v1/inference-jobs/{job_id}/export", params={"format": format_name}
        ).content
        assert hashlib.sha256(content).digest() == hashlib.sha256(expected).digest()
