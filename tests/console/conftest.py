"""One appliance for all tests of the console."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.appliances import ROOT, Appliance, make_models, running_appliance
from tests.support.browser import open_browser


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with the toy models and the bundled detector, which has several labels."""
    store = make_models(tmp_path_factory.mktemp("models"))
    (store / "artifacts").symlink_to(ROOT / "model_store" / "artifacts")
    return store


@pytest.fixture(scope="session")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """A running appliance."""
    with running_appliance(tmp_path_factory.mktemp("console"), models, storage_server="minio") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser that ends with the module: Playwright runs once in a process, and other tests have a browser too."""
    with open_browser("--autoplay-policy=no-user-gesture-required") as running:
        yield running
