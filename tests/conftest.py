"""Fixtures that any test may use."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

from appliance import ROOT
from appliance.engine.models.store import ModelStore
from appliance.state.database import Database
from tests.support import toy_models
from tests.support.appliances import make_models

pytest_plugins = ["tests.support.servers"]

# Modules that take most of a minute or more, the longest first. They begin first: at the end one process would run one
# of them while the others have nothing to do.
LONGEST = (
    "worker/test_ray_executor.py",
    "chaos/test_kills.py",
    "contract/test_fuzz.py",
    "contract/test_training_flow.py",
    "contract/test_crashes.py",
    "contract/test_external_storage.py",
    "contract/test_datasets.py",
    "upgrade/test_first_release.py",
    "contract/test_speech_presigned.py",
    "contract/test_hangs.py",
    "cli/test_keeping.py",
    "setup/test_bootstrap.py",
    "setup/test_install.py",
    "units/test_serve.py",
    "worker/test_worker.py",
)

settings.load_profile("ci")  # an example may take long, and every run has the same ones


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that needs the weights for speech as slow, so that a fast run works without them.

    The longest modules come first, then those with the most tests.
    """
    for item in items:
        if "speech_model" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    places = {str(ROOT / "tests" / name): place for place, name in enumerate(LONGEST)}
    num_tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (places.get(str(item.path), len(places)), -num_tests[item.path]))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with the toy models."""
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def one_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with the default model of the tests alone: ``doctor`` loads each in a process of its own."""
    store = tmp_path_factory.mktemp("one-model")
    toy_models.frame_model(store)
    return store


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database. Migrating a copy of it takes a tenth of the time that a migration from nothing takes."""
    path = tmp_path_factory.mktemp("migrated") / "appliance.db"
    db = Database(path)
    db.migrate()
    db.close()
    return path


@pytest.fixture(scope="session")
def speech_model() -> None:
    """Fails if the weights that scripts/install-speech downloads are missing: the tests of speech are never skipped."""
    ModelStore(ROOT / "model_store").resolve("moonshine-tiny-en")
