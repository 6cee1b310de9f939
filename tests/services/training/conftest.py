"""The box of each test, whose store has a model with features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.engine.models.store import ModelStore
from appliance.services.box import Box
from tests.support import toy_models
from tests.support.training_material import add_base_model


@pytest.fixture(scope="session")
def store_of_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a model that gives features, and one that gives none."""
    store = tmp_path_factory.mktemp("features")
    add_base_model(store)
    toy_models.frame_model(store)
    return store


@pytest.fixture
def trainer(box: Box, store_of_features: Path) -> Box:
    """A box in which trainings can be requested."""
    return replace(box, models=ModelStore(store_of_features))
