"""Fixtures that any test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.appliances import make_models

pytest_plugins = ["tests.servers"]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with the toy models."""
    return make_models(tmp_path_factory.mktemp("models"))
