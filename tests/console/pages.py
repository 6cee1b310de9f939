"""Opens the console in a browser and notes everything that goes wrong there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.support.appliances import Appliance
from tests.support.browser import new_page


@dataclass
class Console:
    """A tab with the console. ``faults`` are the errors of its scripts and what its policy refused."""

    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)

    def open(self, place: str = "") -> None:
        """Go to a place of the console, such as ``#/jobs``."""
        self.page.goto(f"{self.origin}/console/{place}")

    def sign_in(self, key: str) -> None:
        """Sign in at the page that asks for a key."""
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    def heading(self, text: str) -> None:
        """Wait until the page with this heading is shown."""
        expect(self.page.get_by_role("heading", level=1)).to_contain_text(text)


@contextlib.contextmanager
def console(browser: Browser, appliance: Appliance, origin: str | None = None, **options: Any) -> Iterator[Console]:
    """A signed-in tab. After the block it must have had no faults."""
    tab = Console(new_page(browser, **options), origin or appliance.url)
    try:
        tab.page.on("pageerror", lambda error: tab.faults.append(str(error)))
        tab.page.on("console", lambda line: note(tab, line.type, line.text))
        tab.open()
        tab.sign_in(appliance.key)
        yield tab
        assert tab.faults == []
    finally:
        tab.page.context.close()


def note(tab: Console, kind: str, text: str) -> None:
    """Note a line of the browser's console, unless it only says that a request was answered with an error."""
    if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
        tab.faults.append(text)
