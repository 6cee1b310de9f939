"""What a reviewer has beside the list: rejecting what sounds alike, the curves of the scores, and another job."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.console.pages import console
from tests.support.appliances import Appliance, wait_for
from tests.support.toy_recordings import loud_wav

LOUD = loud_wav(num_frames=400, loud=[(20, 60), (100, 140), (300, 340)])


@pytest.fixture(scope="module")
def jobs(appliance: Appliance) -> tuple[str, str]:
    """A job with six detections in two files, and one on the same files that must not find them."""
    made = []
    for least_ms in (50, 1000):
        job_id = appliance.api.make_job(min_duration_ms=least_ms)
        for number in range(2):
            appliance.api.send(job_id, LOUD, name=f"{number}.wav")
        appliance.api.finished_job(job_id)
        made.append(job_id)
    return made[0], made[1]


def progress(appliance: Appliance, job_id: str) -> Any:
    return appliance.api.get(f"/api/v1/inference-jobs/{job_id}/review-queue")["progress"]


def test_what_sounds_alike_is_rejected_with_two_keys_and_comes_back_with_one(
    browser: Browser, appliance: Appliance, jobs: tuple[str, str]
) -> None:
    with console(browser, appliance) as tab:
        tab.open(f"#/jobs/{jobs[0]}/review")
        rows = tab.page.locator("table.queue tbody tr")
        rows.first.click()
        tab.page.keyboard.press("a")
        reject = tab.page.get_by_role("button", name="Reject 6")
        expect(reject).to_be_focused()
        with tab.page.expect_response(lambda response: response.url.endswith("/reviews/batch")):
            tab.page.keyboard.press("Enter")
        expect(tab.page.get_by_text("6 of 6: 0 confirmed")).to_be_visible()
        assert progress(appliance, jobs[0])["rejected"] == 6
        expect(rows.nth(5)).to_contain_text("rejected")
        rows.first.click()
        with tab.page.expect_response(lambda response: response.url.endswith("/reviews/batch")):
            tab.page.keyboard.press("u")
        expect(tab.page.get_by_text("0 of 6: 0 confirmed")).to_be_visible()
        assert progress(appliance, jobs[0])["reviewed"] == 0


def test_the_scores_are_drawn_from_what_is_kept(browser: Browser, appliance: Appliance, jobs: tuple[str, str]) -> None:
    with console(browser, appliance) as tab:
        tab.open(f"#/jobs/{jobs[0]}/review")
        expect(tab.page.get_by_role("button", name="Scores")).to_be_visible()
        wait_for(lambda: tab.page.locator("canvas").get_attribute("style"))  # it has got its size
        low = tab.page.evaluate("document.querySelector('canvas').style.height")
        with tab.page.expect_response(lambda response: "/scores?" in response.url) as read:
            tab.page.get_by_role("button", name="Scores").click()
        [label] = read.value.json()["labels"]
        assert max(label["scores"]) > 0.5
        expect(tab.page.locator("canvas")).not_to_have_css("height", low)
        tab.page.get_by_role("button", name="Scores").click()
        expect(tab.page.locator("canvas")).to_have_css("height", low)


def test_a_file_that_failed_says_why_and_has_no_sliders(browser: Browser, appliance: Appliance) -> None:
    job_id = appliance.api.make_job()
    appliance.api.finished_file(job_id, appliance.api.send(job_id, b"RIFF nothing", name="broken.wav"))
    with console(browser, appliance) as tab:
        tab.open(f"#/jobs/{job_id}/review")
        tab.heading("broken.wav")
        expect(tab.page.get_by_role("alert")).to_contain_text("not a recording")
        expect(tab.page.get_by_role("slider")).to_have_count(0)


def test_the_keys_go_on_where_a_shorter_page_of_the_list_begins(browser: Browser, appliance: Appliance) -> None:
    job_id = appliance.api.make_job(merge_window_ms=0, min_duration_ms=0)
    loud = [(20 * number, 20 * number + 10) for number in range(27)]
    appliance.api.finished_file(job_id, appliance.api.send(job_id, loud_wav(num_frames=540, loud=loud)))
    with console(browser, appliance) as tab:
        tab.open(f"#/jobs/{job_id}/review")
        tab.page.locator("tr[aria-rowindex='25']").click()
        for number in (25, 26):
            tab.page.keyboard.press("c")
            expect(tab.page.locator(f"tr[aria-rowindex='{number + 1}']")).to_be_focused()
        expect(tab.page.locator("tr[aria-rowindex='26']")).to_contain_text("confirmed")


def test_a_file_that_is_read_late_does_not_replace_the_one_that_is_looked_at(
    browser: Browser, appliance: Appliance, jobs: tuple[str, str]
) -> None:
    held: list[Route] = []
    with console(browser, appliance) as tab:
        tab.open(f"#/jobs/{jobs[0]}/review")
        tab.heading(".wav")
        shown = tab.page.evaluate("document.querySelector('console-review').file.id")
        [late] = {file["id"] for file in appliance.api.job(jobs[0])["files"]} - {shown}
        tab.page.route(f"**/files/{late}", lambda route: held.append(route))
        tab.page.evaluate("id => { window.late = document.querySelector('console-review').showFile(id); }", late)
        wait_for(lambda: tab.page.title() and held)
        tab.page.evaluate("id => document.querySelector('console-review').showFile(id)", shown)
        held[0].continue_()
        file_id = "window.late.then(() => document.querySelector('console-review').file.id)"
        assert tab.page.evaluate(file_id) == shown


def test_two_jobs_are_compared_by_sight_and_ear(browser: Browser, appliance: Appliance, jobs: tuple[str, str]) -> None:
    with console(browser, appliance) as tab:
        tab.open(f"#/jobs/{jobs[0]}")
        expect(tab.page.get_by_role("link", name="Compare")).to_be_visible()
        held: list[Route] = []
        tab.page.route("**/api/v1/models", lambda route: held.append(route))
        tab.page.get_by_role("link", name="Compare").click()
        tab.page.get_by_label("with").select_option(jobs[1])  # before all of the page is there
        wait_for(lambda: tab.page.title() and len(held) == 2)
        for route in held:
            route.continue_()
        tab.page.unroute("**/api/v1/models")
        expect(tab.page.get_by_text("2 files: 2 with differences, 0 only in this job.")).to_be_visible()
        expect(tab.page.get_by_role("row", name="loud 0 6 0")).to_be_visible()
        tab.page.get_by_role("button", name="0.wav").click()
        with tab.page.expect_response(lambda response: "/clip?" in response.url and response.status == 200):
            tab.page.get_by_role("button", name="Play loud at 0:00").first.click()
