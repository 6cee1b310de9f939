"""Every page passes the rules of axe for WCAG 2.2 AA in both themes, and a review needs no mouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.console.pages import console
from tests.contract.test_annotation_sets import new_dataset
from tests.contract.test_speech_raw import RawClient
from tests.support.appliances import Api, Appliance, wait_for
from tests.support.toy_recordings import loud_wav
from tests.support.trainings import REPORT, add_training

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass(frozen=True)
class Objects:
    """One object of each kind, and a key that may do everything."""

    key: str
    job_id: str
    dataset_id: str
    transcript_id: str
    training_job_id: str

    @property
    def places(self) -> dict[str, str]:
        """The address of every page and its heading."""
        return {
            "#/jobs": "Jobs",
            f"#/jobs/{self.job_id}": self.job_id,
            f"#/jobs/{self.job_id}/review": "take.wav",
            f"#/jobs/{self.job_id}/compare": "Compare",
            "#/upload": "Upload",
            "#/datasets": "Datasets",
            f"#/datasets/{self.dataset_id}": "takes",
            f"#/datasets/{self.dataset_id}/next": "What to annotate next",
            f"#/datasets/{self.dataset_id}/evaluation": "Evaluation",
            "#/speech": "Speech",
            f"#/speech/{self.transcript_id}": "Transcript",
            "#/models": "Models",
            "#/training": "Training",
            f"#/training/{self.training_job_id}": "Training of knocks@1.0.0",
            "#/rules": "Rules",
            "#/status": "Status",
            "#/admin": "Keys and tenants",
        }


@pytest.fixture(scope="module")
def objects(appliance: Appliance) -> Objects:
    api = appliance.api
    raw = RawClient(appliance.url, appliance.key)
    job_id = api.make_job()
    api.send(job_id, loud_wav(num_frames=400, loud=[(20, 40), (100, 150), (300, 350)]))
    api.finished_job(job_id)
    scopes = [option for scope in ("write", "admin") for option in ("--scope", scope)]
    key = appliance.command("keys", "create", "everything", *scopes, "--data-dir", str(appliance.data_dir))
    return Objects(
        key,
        job_id,
        new_dataset(api).rpartition("/")[2],
        raw.request_transcript(raw.upload(loud_wav()))["id"],
        add_training(appliance.data_dir, 1, "knocks", REPORT, labels=["knock"]),
    )


def faults_of(page: Page) -> list[tuple[str, Any]]:
    """What axe finds on a page: the rule, and the first element that breaks it."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response
    assert len(found["passes"]) > 10
    return [(violation["id"], violation["nodes"][0]["html"]) for violation in found["violations"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_passes_axe(browser: Browser, appliance: Appliance, objects: Objects, theme: Any) -> None:
    with console(browser, appliance, color_scheme=theme) as tab:
        tab.page.get_by_role("button", name="Sign out").click()
        assert faults_of(tab.page) == []
        tab.sign_in(objects.key)
        for place, heading in objects.places.items():
            tab.open(place)
            tab.heading(heading)
            tab.page.wait_for_load_state("networkidle")
            assert faults_of(tab.page) == [], place
            tab.page.set_viewport_size({"width": 400, "height": 800})  # only tables and pictures are scrolled sideways
            wait_for(lambda: tab.page.evaluate("document.documentElement.scrollWidth") == 400)  # once pictures fit
            tab.page.set_viewport_size({"width": 1280, "height": 720})


def test_a_review_needs_no_mouse(browser: Browser, appliance: Appliance, objects: Objects) -> None:
    api = appliance.api
    with console(browser, appliance) as tab:
        tab.open(f"#/jobs/{objects.job_id}/review")
        row = tab.page.locator("tr[aria-selected=true]")
        expect(row).to_be_visible()
        for _ in range(60):  # from the address bar to the list
            tab.page.keyboard.press("Tab")
            if row.evaluate("(row) => row === document.activeElement"):
                break
        expect(row).to_be_focused()
        tab.page.keyboard.press("ArrowDown")
        expect(tab.page.locator("tbody tr").nth(1)).to_be_focused()
        tab.page.keyboard.press("x")
        expect(tab.page.locator("tbody tr").nth(2)).to_be_focused()
        tab.page.keyboard.press("u")
        expect(tab.page.locator("tbody tr").nth(1)).to_be_focused()
        tab.page.keyboard.press("?")
        expect(tab.page.get_by_role("dialog")).to_contain_text("Reject, store, go on and play")
        # Without shortcuts a letter does nothing, so that nobody decides by speaking or by accident.
        tab.page.get_by_label("Single-key shortcuts").press("Space")
        tab.page.keyboard.press("Escape")
        row.focus()
        tab.page.keyboard.press("x")
        expect(tab.page.locator("tbody tr").nth(1)).to_be_focused()
        expect(tab.page.locator(".status.queued")).to_have_count(0)
    assert progress_of(api, objects.job_id)["reviewed"] == 0


def progress_of(api: Api, job_id: str) -> Any:
    """How many detections of a job were reviewed, and how."""
    return api.get(f"/api/v1/inference-jobs/{job_id}/review-queue")["progress"]
