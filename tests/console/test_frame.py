"""Signing in and out, moving between pages, and what no page may do."""

from __future__ import annotations

import uuid

from playwright.sync_api import Browser, Page, Route, expect

from appliance.services import keys
from appliance.state.database import Database
from tests.console.pages import console
from tests.support.appliances import Appliance, wait_for
from tests.support.toy_recordings import loud_wav

EVIL = '"><img src=x onerror="window.broken = 1"><b>.wav'


def jobs_shown(page: Page) -> int:
    return page.locator("tbody tr").count()


def test_a_wrong_key_says_so_and_signing_out_ends_it(browser: Browser, appliance: Appliance) -> None:
    with console(browser, appliance) as tab:
        assert tab.page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})").count("ak_") == 0
        assert tab.page.evaluate("document.cookie") == ""
        tab.page.get_by_role("button", name="Sign out").click()
        expect(tab.page.get_by_text("You are signed out.").first).to_be_visible()
        tab.page.get_by_label("API key").fill("ak_wrong")
        tab.page.keyboard.press("Enter")
        expect(tab.page.get_by_role("alert")).to_have_text("The API key is unknown or was revoked.")


def test_the_first_view_asks_for_little(browser: Browser, appliance: Appliance) -> None:
    with console(browser, appliance) as tab:
        tab.page.wait_for_load_state("networkidle")
        requests: list[str] = []
        tab.page.on("request", lambda request: requests.append(request.url))
        tab.page.reload()
        expect(tab.page.get_by_role("heading", name="Jobs")).to_be_visible()
        tab.page.wait_for_load_state("networkidle")
        view = [url for url in requests if "/changes?since=" not in url]  # which are the next polls
        assert len(view) <= 15, requests
        assert {url.split("/")[2] for url in requests} == {appliance.url.split("/")[2]}


def test_the_name_of_a_file_is_text_alone(browser: Browser, appliance: Appliance) -> None:
    job_id = appliance.api.make_job()
    appliance.api.finished_file(job_id, appliance.api.send(job_id, loud_wav(), name=EVIL))
    with console(browser, appliance) as tab:
        for place in (f"#/jobs/{job_id}", f"#/jobs/{job_id}/review"):
            tab.open(place)
            expect(tab.page.get_by_text(EVIL).first).to_be_visible()
            assert tab.page.evaluate("window.broken") is None
            assert tab.page.locator("main img, main b").count() == 0


def test_an_address_that_means_nothing_says_so(browser: Browser, appliance: Appliance) -> None:
    with console(browser, appliance) as tab:
        tab.open("#/jobs/%zz")
        expect(tab.page.get_by_role("alert")).to_contain_text("job")
        tab.open("#/nowhere")
        tab.heading("Jobs")


def test_a_page_that_loads_late_does_not_replace_the_next_one(browser: Browser, appliance: Appliance) -> None:
    held: list[Route] = []
    with console(browser, appliance) as tab:
        tab.page.route("**/pages/speech.js", lambda route: held.append(route))
        tab.open("#/speech")
        wait_for(lambda: tab.page.title() and held)  # the page was asked for, and its file is on its way
        tab.open("#/status")
        tab.heading("Status")
        held[0].continue_()
        tab.page.evaluate("url => import(url)", held[0].request.url)
        tab.heading("Status")


def test_a_key_that_is_revoked_leads_to_the_sign_in(browser: Browser, appliance: Appliance) -> None:
    db, name = Database(appliance.data_dir / "appliance.db"), str(uuid.uuid4())
    key = keys.create_key(db, name)
    with console(browser, appliance) as tab:
        tab.page.get_by_role("button", name="Sign out").click()
        tab.sign_in(key)
        tab.heading("Jobs")
        keys.revoke_key(db, keys.find_key(db, name).id, keep_administrator=False)
        tab.page.evaluate("location.hash = '#/models'")  # or the list finds out by itself
        expect(tab.page.get_by_text("unknown or was revoked").first).to_be_visible()
        expect(tab.page.get_by_label("API key")).to_be_focused()
        tab.sign_in(appliance.key)
        tab.heading("Models")  # where it was left


def test_a_new_job_appears_and_an_idle_list_costs_no_body(browser: Browser, appliance: Appliance) -> None:
    with console(browser, appliance) as tab:
        tab.heading("Jobs")
        expect(tab.page.get_by_role("region", name="Jobs")).to_be_visible()
        tab.page.wait_for_load_state("networkidle")
        with tab.page.expect_response(lambda response: "/api/v1/changes" in response.url) as idle:
            pass  # the next poll
        assert idle.value.status in (200, 304)
        job_id = appliance.api.make_job()
        expect(tab.page.get_by_role("link", name=job_id[:8])).to_be_visible()


def test_what_was_refused_is_still_said_after_the_next_poll(browser: Browser, appliance: Appliance) -> None:
    job_id = appliance.api.make_job()
    appliance.api.upload(job_id, loud_wav())

    def refuse(route: Route) -> None:
        if route.request.method == "DELETE":
            route.fulfill(status=409, json={"code": "conflict", "detail": "It has ended."})
        else:
            route.continue_()

    with console(browser, appliance) as tab:
        tab.open(f"#/jobs/{job_id}")
        tab.page.route("**/inference-jobs/*", refuse)
        tab.page.get_by_role("button", name="Cancel").click()
        expect(tab.page.get_by_role("alert")).to_have_text("It has ended.")
        for _ in range(2):  # the next polls
            with tab.page.expect_response(lambda response: "files=false" in response.url):
                pass
        expect(tab.page.get_by_role("alert")).to_have_text("It has ended.")


def test_a_job_is_seen_as_it_goes_on(browser: Browser, appliance: Appliance) -> None:
    api = appliance.api
    job_id = api.make_job()
    with console(browser, appliance) as tab:
        tab.page.get_by_label("Search").fill(job_id)
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator("tbody tr")).to_have_count(1)
        tab.page.get_by_role("link", name=job_id[:8]).click()
        tab.heading(job_id)
        api.finished_file(job_id, api.send(job_id, loud_wav(), name="matins.wav"))
        expect(tab.page.get_by_role("link", name="matins.wav")).to_be_visible()
        row = tab.page.get_by_role("row", name="matins.wav")
        expect(row).to_contain_text("completed")
