"""The pages of trainings: what is refused, what runs, what came of it, and a model that is given to all."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from appliance.services.box import TRAINED
from tests.console.pages import console
from tests.contract.test_annotation_sets import add_audio, new_dataset
from tests.support import toy_models
from tests.support.appliances import Appliance
from tests.support.toy_recordings import loud_wav
from tests.support.trainings import REPORT, add_training, begin_training

JOBS = "/api/v1/training-jobs"


def test_what_would_be_refused_is_said_before_anything_starts(browser: Browser, appliance: Appliance) -> None:
    api = appliance.api
    dataset = new_dataset(api, name="village", artifact_types=[{"name": "knock"}])
    audio = f"{dataset}/audio/{add_audio(api, dataset, loud_wav())}"
    api.post(f"{audio}/annotations", {"artifact_type": "knock", "start_ms": 1, "end_ms": 9}, 201)
    before = api.get(JOBS)["items"]
    with console(browser, appliance) as tab:
        tab.page.get_by_role("link", name="Training").click()
        tab.page.get_by_label("Name of the model").fill("knocks")
        tab.page.get_by_label("village").check()
        labels = tab.page.get_by_label("Labels, with commas")
        expect(labels).to_have_value("knock")  # the type that the dataset defines
        labels.fill("knock, hum")
        tab.page.get_by_role("button", name="Check only").click()
        refused = tab.page.get_by_role("alert")
        expect(refused).to_contain_text("labels: 'knock' has 1 event to learn from and to hold out; 15 are needed.")
        expect(refused).to_contain_text("labels: 'hum' is in no annotation of these datasets.")
        expect(tab.page.get_by_role("row", name="knock 1 1 0 min")).to_be_visible()
        tab.page.get_by_role("button", name="Train").click()
        expect(refused).to_be_visible()
    assert api.get(JOBS)["items"] == before


def test_a_training_is_watched_and_stopped(browser: Browser, appliance: Appliance) -> None:
    job_id = begin_training(appliance.data_dir, 1, "creaks", phase="fitting", labels=["creak"])
    with console(browser, appliance) as tab:
        tab.open("#/training")
        expect(tab.page.get_by_role("row", name="creaks")).to_contain_text("fitting")
        tab.page.get_by_role("link", name="creaks").click()
        expect(tab.page.locator("li[aria-current=step]")).to_contain_text("fitting")
        assert tab.page.get_by_label("Progress of creaks, fitting").get_attribute("value") == "0.5"
        tab.page.on("dialog", lambda dialog: dialog.accept())
        tab.page.get_by_role("button", name="Cancel").click()
        expect(tab.page.locator(".status.cancelled")).to_be_visible()
    assert appliance.api.get(f"{JOBS}/{job_id}")["status"] == "cancelled"


def test_a_report_is_read_its_model_is_used_and_given_to_all(browser: Browser, appliance: Appliance) -> None:
    api = appliance.api
    job_id = add_training(appliance.data_dir, 1, "taps", REPORT, labels=["knock"])
    toy_models.frame_model(appliance.data_dir / TRAINED / "tenant-1", name="taps")
    used = api.make_job("taps")
    with console(browser, appliance) as tab:
        tab.open(f"#/training/{job_id}")
        row = tab.page.get_by_role("row", name="knock")
        for cell in ("75 % 40 % to 94 %", "0 below 18, in 0.17 h"):
            expect(row.get_by_role("cell", name=cell, exact=True)).to_be_visible()
        tab.page.get_by_role("link", name=f"Compare {used[:8]}").click()
        tab.heading("Compare")
        tab.page.go_back()
        expect(tab.page.get_by_role("button", name="Give it to all tenants")).to_have_count(0)  # no administrator
        tab.page.get_by_role("link", name="Use it on recordings").click()
        tab.heading("Upload")
        expect(tab.page.get_by_label("Model")).to_have_value("taps")
        tab.page.get_by_role("button", name="Sign out").click()
        data_dir = str(appliance.data_dir)
        tab.sign_in(
            appliance.command(
                "keys", "create", "promoter", "--scope", "read", "--scope", "admin", "--data-dir", data_dir
            )
        )
        tab.open(f"#/training/{job_id}")
        tab.page.on("dialog", lambda dialog: dialog.accept())
        tab.page.get_by_role("button", name="Give it to all tenants").click()
        expect(tab.page.get_by_text("taps@1.0.0 is a model of all now.").first).to_be_visible()
    other = appliance.api_of("listener", "other")
    assert "taps@1.0.0" in [model["id"] for model in other.get("/api/v1/models")["models"]]
