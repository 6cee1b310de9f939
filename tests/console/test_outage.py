"""A reviewer and an upload go on through an outage and a reload: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, Request, Route, expect

from tests.console.pages import Console, console
from tests.support.appliances import Api, Appliance, wait_for
from tests.support.toy_recordings import loud_wav

FILES, SPANS = 5, [(20, 40), (100, 120), (200, 220), (300, 320)]
DETECTIONS = FILES * len(SPANS)
WRITES = "**/reviews/**"
PARTS = re.compile(r"[?&]partNumber=(\d+)")
POSTS = re.compile(r"/audio/?$")  # of files to storage
JOBS = re.compile(r"/inference-jobs(/[^/?]+\?files=false)?$")  # to make one, or to ask for it


def queue_of(api: Api, job_id: str) -> list[dict[str, object]]:
    """Every detection of a job, with its review."""
    return list(api.get(f"/api/v1/inference-jobs/{job_id}/review-queue", params={"limit": 200})["items"])


def decide(tab: Console, first: int, last: int) -> None:
    """Decide about these detections with one key each: every third one is rejected."""
    for number in range(first, last):
        tab.page.keyboard.press("x" if number % 3 == 0 else "c")
        expect(tab.page.locator(f"tr[aria-rowindex='{number + 1}']")).to_contain_text(
            "rejected" if number % 3 == 0 else "confirmed"
        )


def test_a_reviewer_loses_and_doubles_nothing(browser: Browser, appliance: Appliance) -> None:
    api = appliance.api
    job_id = api.make_job(merge_window_ms=0)
    for _ in range(FILES):
        api.send(job_id, loud_wav(num_frames=400, loud=SPANS))
    api.finished_job(job_id)
    assert len(queue_of(api, job_id)) == DETECTIONS
    refused: list[str] = []

    def refuse(route: Route) -> None:
        refused.append(route.request.url)
        route.abort()

    with console(browser, appliance) as tab:
        tab.open(f"#/jobs/{job_id}/review")
        tab.page.locator("tr[aria-rowindex='1']").click()
        decide(tab, 0, 6)
        expect(tab.page.get_by_text("to be stored")).to_have_count(0)
        tab.page.route(WRITES, refuse)
        decide(tab, 6, 12)
        expect(tab.page.get_by_text("to be stored")).to_be_visible()
        wait_for(lambda: tab.page.title() and refused)
        # What waits is kept, and the outage goes on. A request that is held at this moment may get through.
        tab.page.reload()
        expect(tab.page.get_by_text(re.compile("[56] to be stored"))).to_be_visible()
        expect(tab.page.locator("tr[aria-rowindex='12']")).to_contain_text("confirmed")
        tab.page.unroute(WRITES)
        expect(tab.page.get_by_text("to be stored")).to_have_count(0)
        tab.page.reload()
        tab.page.locator("tr[aria-rowindex='13']").click()
        decide(tab, 12, DETECTIONS)
        expect(tab.page.get_by_text("to be stored")).to_have_count(0)
        expect(tab.page.get_by_text(f"{DETECTIONS} of {DETECTIONS}:")).to_be_visible()
    items = queue_of(api, job_id)
    verdicts = [item["review"]["verdict"] for item in items]  # type: ignore[index]
    assert verdicts == ["rejected" if number % 3 == 0 else "confirmed" for number in range(DETECTIONS)]
    files = {str(item["file_id"]) for item in items}
    reviews = [api.get(f"/api/v1/inference-jobs/{job_id}/files/{file}/reviews")["reviews"] for file in files]
    assert [len(of_file) for of_file in reviews] == [len(SPANS)] * FILES


def test_what_has_to_wait_its_turn_is_asked_for_again(browser: Browser, appliance: Appliance) -> None:
    """A tenant may only have some clips and pictures made at a time; whoever reviews quickly need not know."""
    api = appliance.api
    job_id = api.make_job(merge_window_ms=0)
    api.finished_file(job_id, api.send(job_id, loud_wav(num_frames=400, loud=SPANS)))
    refused: list[str] = []

    def busy(route: Route) -> None:
        if route.request.url in refused:
            return route.continue_()
        refused.append(route.request.url)
        return route.fulfill(status=429, json={"code": "too_many_requests", "detail": "Try again."})

    with console(browser, appliance) as tab:
        tab.page.route(re.compile("/(clip|waveform|spectrogram)"), busy)
        tab.open(f"#/jobs/{job_id}/review")
        tab.page.get_by_role("button", name="Loop").click()  # it sounds on, however late this looks
        tab.page.locator("tr[aria-rowindex='1']").click()
        expect(tab.page.get_by_role("button", name="Stop")).to_be_visible()
        wait_for(lambda: tab.page.evaluate("Boolean(document.querySelector('console-timeline').tiles)"))
        wait_for(lambda: tab.page.title() and len(refused) > 2)
        expect(tab.page.get_by_role("alert")).to_have_count(0)


def test_who_decides_while_the_list_is_read_on_decides_about_each_one(browser: Browser, appliance: Appliance) -> None:
    api = appliance.api
    job_id = api.make_job(merge_window_ms=0, min_duration_ms=0)
    loud = [(20 * number, 20 * number + 10) for number in range(120)]
    api.finished_file(job_id, api.send(job_id, loud_wav(num_frames=2400, loud=loud)))
    with console(browser, appliance) as tab:
        tab.open(f"#/jobs/{job_id}/review")
        for last in (25, 50, 75):
            expect(tab.page.get_by_text(f"{last - 24} to {last} of 120")).to_be_visible()
            tab.page.get_by_role("button", name="Next", exact=True).click()
        tab.page.locator("tr[aria-rowindex='80']").click()
        held: list[Route] = []
        tab.page.route(re.compile("review-queue.*cursor="), lambda route: held.append(route))
        for number in (80, 81, 82):
            tab.page.keyboard.press("c")
            expect(tab.page.locator(f"tr[aria-rowindex='{number}']")).to_contain_text("confirmed")
        wait_for(lambda: tab.page.title() and held)
        for route in held:
            route.continue_()


def verdicts_of(api: Api, job_id: str) -> set[str | None]:
    """The verdicts of a job's detections; None is in it if some have no review."""
    reviews = [item["review"] for item in queue_of(api, job_id)]
    assert len(reviews) == len(SPANS)
    return {review["verdict"] if isinstance(review, dict) else None for review in reviews}


def test_rejecting_a_whole_list_is_one_step_to_undo(browser: Browser, appliance: Appliance) -> None:
    api = appliance.api
    job_id = api.make_job(merge_window_ms=0)
    api.send(job_id, loud_wav(num_frames=400, loud=SPANS))
    api.finished_job(job_id)
    with console(browser, appliance) as tab:
        tab.page.on("dialog", lambda dialog: dialog.accept())
        tab.open(f"#/jobs/{job_id}/review")
        tab.page.get_by_role("button", name="Reject all of the list").click()
        expect(tab.page.get_by_text(f"{len(SPANS)} rejected", exact=True)).to_have_count(1)
        wait_for(lambda: verdicts_of(api, job_id) == {"rejected"})  # the page is ahead of the appliance
        tab.page.route(WRITES, lambda route: route.abort())
        tab.page.locator("tr[aria-selected=true]").focus()
        tab.page.keyboard.press("u")
        expect(tab.page.get_by_text("1 to be stored")).to_be_visible()
        tab.page.reload()  # what was taken back is not shown again
        expect(tab.page.locator("table.queue tbody tr")).to_have_count(len(SPANS))
        expect(tab.page.locator("table.queue .rejected")).to_have_count(0)
        tab.page.unroute(WRITES)
        expect(tab.page.get_by_text("0 rejected")).to_be_visible()
        wait_for(lambda: verdicts_of(api, job_id) == {None})


def test_a_folder_goes_on_after_the_tab_was_closed(browser: Browser, appliance: Appliance, tmp_path: Path) -> None:
    """What was sent before is not sent again."""
    api = appliance.api
    folder = tmp_path / "concert"
    for number in range(12):
        (folder / f"disc {number % 3}").mkdir(parents=True, exist_ok=True)
        (folder / f"disc {number % 3}" / f"{number:02}.wav").write_bytes(loud_wav(num_frames=20, loud=[]))
    (folder / "notes.txt").write_text("no recording")
    sent: list[str] = []

    def limited(route: Route) -> None:
        sent.append(route.request.url)
        if len(sent) > 5:
            route.abort()
        else:
            route.continue_()

    with console(browser, appliance) as tab:
        tab.open("#/upload")
        tab.page.get_by_role("combobox", name="Model").select_option("loud-frames")
        tab.page.route(POSTS, limited)
        tab.page.get_by_label("A folder").set_input_files(folder)
        expect(tab.page.get_by_text("5 of 12 files")).to_be_visible()
        expect(tab.page.get_by_text("1 file left out")).to_be_visible()
        place = tab.page.evaluate("location.hash")
        tab.page.on("dialog", lambda dialog: dialog.accept())
        tab.page.reload()
        tab.page.unroute(POSTS)
        requests: list[str] = []
        tab.page.on("request", lambda request: requests.append(request.url))
        assert tab.page.evaluate("location.hash") == place
        tab.page.get_by_label("A folder").set_input_files(folder)
        expect(tab.page.get_by_text("12 of 12 files")).to_be_visible()
        assert len([url for url in requests if POSTS.search(url)]) == 7
    job_id = place.split("job=")[1]
    # A form that was asked for while the page was reloaded is unknown to the new page: its file stays pending.
    names = [f"concert/disc {number % 3}/{number:02}.wav" for number in range(12)]
    wait_for(lambda: completed_names(api, job_id) == sorted(names))


def test_files_that_are_chosen_at_any_moment_go_to_one_job(
    browser: Browser, appliance: Appliance, tmp_path: Path
) -> None:
    """While the job is being made, or a page that was loaded again asks for it, no second one is made."""
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for path in paths:
        path.write_bytes(loud_wav(num_frames=20, loud=[]))
    held: list[Route] = []
    with console(browser, appliance) as tab:
        page = tab.page
        files = page.get_by_label("Files", exact=True)
        tab.open("#/upload")
        page.route(JOBS, lambda route: held.append(route))
        files.set_input_files(paths[0])
        files.set_input_files(paths[1])
        wait_for(lambda: page.title() and held)
        held.pop(0).continue_()
        expect(page.get_by_text("2 of 2 files")).to_be_visible()
        assert not held
        job_id = page.evaluate("location.hash").split("job=")[1]
        page.reload()
        wait_for(lambda: page.title() and held)
        expect(page.get_by_text("Loading")).to_be_visible()
        expect(files).to_have_count(0)
        held.pop().continue_()
        files.set_input_files(paths[2])
        expect(page.get_by_text("1 of 1 file")).to_be_visible()
    assert len(appliance.api.finished_job(job_id)["files"]) == 3


def completed_names(api: Api, job_id: str) -> list[str]:
    return sorted(file["original_filename"] for file in api.job(job_id)["files"] if file["status"] == "completed")


def test_a_large_file_goes_on_after_the_last_part_that_arrived(
    browser: Browser, appliance: Appliance, tmp_path: Path
) -> None:
    api = appliance.api
    path = tmp_path / "long.wav"
    path.write_bytes(loud_wav(num_frames=36_000))
    assert path.stat().st_size > 16 * 1024**2

    def only_the_first(route: Route) -> None:
        part = PARTS.search(route.request.url)
        route.continue_() if part and part[1] == "1" else route.abort()

    def is_a_later_part(request: Request) -> bool:
        part = PARTS.search(request.url)
        return bool(part and part[1] != "1")

    with console(browser, appliance) as tab:
        tab.open("#/upload")
        tab.page.get_by_role("combobox", name="Model").select_option("loud-frames")
        tab.page.route(PARTS, only_the_first)
        with tab.page.expect_event("requestfailed", is_a_later_part):
            tab.page.get_by_label("Files", exact=True).set_input_files(path)
        expect(tab.page.get_by_text("The appliance does not answer.")).to_be_visible()
        job_id = str(tab.page.evaluate("location.hash.split('job=')[1]"))
        tab.page.on("dialog", lambda dialog: dialog.accept())
        tab.page.reload()
        tab.page.unroute(PARTS)
        requests: list[str] = []
        tab.page.on("request", lambda request: requests.append(request.url))
        tab.page.get_by_label("Files", exact=True).set_input_files(path)
        expect(tab.page.get_by_text("1 of 1 file")).to_be_visible()
        numbers = [match[1] for url in requests if (match := PARTS.search(url))]
        assert sorted(numbers, key=int) == [str(number) for number in range(2, len(numbers) + 2)]
    [file] = api.finished_job(job_id)["files"]
    assert file["status"] == "completed"
    url = api.get(f"/api/v1/inference-jobs/{job_id}/files/{file['id']}/download-url")["url"]
    assert api.session.get(url).content == path.read_bytes()
