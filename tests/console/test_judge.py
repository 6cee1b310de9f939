"""What to annotate next, and how well jobs found what was annotated: people hear, see and judge stretches."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.console.pages import console
from tests.contract.test_annotation_sets import add_audio, new_dataset
from tests.contract.test_reviews import NO_MERGING
from tests.contract.test_training_data import levels_wav
from tests.support.appliances import Appliance

# Of three stretches of six seconds. The toy model is sure of the first, less of the last, and silent between them.
LEVELS = [0.19, 0.0, 0.15]


@pytest.fixture(scope="module")
def heard(appliance: Appliance) -> tuple[str, str, list[str]]:
    """The path of a dataset with a recording, that of the recording, and the ids of two jobs on it."""
    api, content, jobs = appliance.api, levels_wav(LEVELS), []
    dataset = new_dataset(api, name="Parish")
    for threshold in (0.5, 0.9):
        jobs.append(api.make_job(**NO_MERGING | {"threshold": threshold}))
        api.send(jobs[-1], content, name="take.wav")
    audio = f"{dataset}/audio/{add_audio(api, dataset, content, 'take.wav')}"
    for job_id in jobs:
        api.finished_job(job_id)
    return dataset, audio, jobs


def test_what_to_annotate_next_is_heard_and_annotated(
    browser: Browser, appliance: Appliance, heard: tuple[str, str, list[str]]
) -> None:
    api, (dataset, audio, jobs) = appliance.api, heard
    with console(browser, appliance) as tab:
        page = tab.page
        tab.open(f"#/datasets/{dataset.rpartition('/')[2]}")
        page.get_by_role("link", name="What to annotate next").click()
        page.get_by_label("Job").select_option(jobs[0])
        page.get_by_label("Label").select_option("loud")
        stretches = page.locator("tbody tr")
        expect(stretches).to_have_count(3)
        expect(stretches.first).to_contain_text("surest")
        with page.expect_response(lambda response: "/clip?" in response.url and response.status == 200):
            stretches.first.get_by_role("button").click()
        canvas = page.locator("canvas")
        canvas.click(position={"x": 300, "y": 60})
        canvas.click(position={"x": 500, "y": 60})
        times = page.get_by_role("spinbutton")
        expect(times.nth(1)).not_to_have_value("")
        start, end = (float(times.nth(place).input_value()) for place in (0, 1))
        assert 0 < start < end < 7
        page.get_by_role("button", name="Add").click()
        expect(times.first).to_have_value("")
        page.get_by_role("button", name="Nothing more is here: next").click()
        expect(stretches).to_have_count(2)
        expect(page.get_by_role("heading", name="take.wav, 0:12.0 to 0:18.0")).to_be_visible()
    [annotation] = api.get(f"{audio}/annotations")["annotations"]
    said = [annotation[key] for key in ("artifact_type", "start_ms", "end_ms")]
    assert said == ["loud", round(1000 * start), round(1000 * end)]
    [review] = api.get(f"{audio}/reviews")["reviews"]
    assert (review["labels"], review["start_ms"], review["end_ms"]) == (["loud"], 0, 6000)


def test_two_jobs_are_evaluated_side_by_side(
    browser: Browser, appliance: Appliance, heard: tuple[str, str, list[str]]
) -> None:
    api, (dataset, audio, jobs) = appliance.api, heard
    api.post(f"{audio}/annotations", {"artifact_type": "loud", "start_ms": 12_000, "end_ms": 18_000}, 201)
    with console(browser, appliance) as tab:
        page = tab.page
        tab.open(f"#/datasets/{dataset.rpartition('/')[2]}")
        page.get_by_role("link", name="Evaluate jobs").click()
        chosen = page.get_by_role("search").locator("select")
        chosen.first.select_option(jobs[0])
        expect(page.get_by_role("region", name="Figures").locator("tbody tr")).to_have_count(1)
        chosen.last.select_option(jobs[1])
        expect(page.get_by_role("region", name="Figures").locator("tbody tr")).to_have_count(2)
        expect(page.get_by_role("region", name="How much better the second job is")).to_contain_text("loud")
        difference = page.get_by_role("region", name="Stretches").locator("tbody tr").first
        expect(difference).to_contain_text("the first job")
        with page.expect_response(lambda response: "/clip?" in response.url and response.status == 200):
            difference.get_by_role("button").click()
