"""The card of a model, over HTTP and on the page of the models."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.console.pages import console
from tests.support.appliances import Appliance


def test_the_card_of_a_model_is_read(appliance: Appliance) -> None:
    card = appliance.api.response("GET", "/api/v1/models/loud-frames@1.0.0/card")
    assert (card.status_code, card.text) == (200, "# It hears loudness")
    assert card.headers["Content-Type"].startswith("text/markdown")
    assert "has no MODEL_CARD.md" in appliance.api.get("/api/v1/models/loud-frames@0.9.0/card", 404)["detail"]
    assert appliance.api.get("/api/v1/models/none/card", 404)["code"] == "model_not_found"


def test_the_page_shows_the_models_and_their_cards(browser: Browser, appliance: Appliance) -> None:
    with console(browser, appliance) as tab:
        tab.open("#/models")
        model = tab.page.locator("section", has=tab.page.get_by_role("heading", name="loud-frames@1.0.0"))
        model.get_by_text("Model card").click()
        expect(model.get_by_role("region", name="Card of loud-frames@1.0.0")).to_have_text("# It hears loudness")
