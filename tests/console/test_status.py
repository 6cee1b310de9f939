"""The page of the status: a card for each check, with what it warns of, such as the nodes of a cluster."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.console.pages import console
from tests.support.appliances import Appliance, wait_for

NODES = "5 engines on 2 of 3 nodes; attic is refused: it has version 0.9"


def test_a_node_that_takes_no_work_is_a_warning(browser: Browser, appliance: Appliance) -> None:
    """What a box with executor = ray answers is made up here; the rest is as it is."""
    wait_for(appliance.ready)
    answer = appliance.api.get("/readyz")
    answer["checks"]["cluster"] = {"ok": True, "detail": NODES}
    degraded = {"status": "Degraded", "reasons": [{"check": "cluster", "detail": NODES}]}
    with console(browser, appliance) as tab:
        tab.page.route("**/readyz", lambda route: route.fulfill(json=answer))
        tab.page.route("**/api/v1/status", lambda route: route.fulfill(json=degraded))
        tab.open("#/status")
        card = tab.page.locator("section", has=tab.page.get_by_role("heading", name="cluster", exact=True))
        expect(card).to_contain_text("warning")
        expect(card).to_contain_text(NODES)
        expect(tab.page.locator("section", has=tab.page.get_by_role("heading", name="database"))).to_contain_text("ok")
        expect(tab.page.get_by_text("The appliance is degraded")).to_be_visible()
