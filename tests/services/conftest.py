"""The box of each test, and the models that it finds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.services.box import Box
from tests.support import toy_models
from tests.support.boxes import DictionaryStore, add_speech_model, make_box


@pytest.fixture(scope="session")
def box_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a toy model in two versions, another one, and a model for transcription without weights."""
    store = tmp_path_factory.mktemp("models")
    toy_models.frame_model(store)
    toy_models.frame_model(store, version="0.9.0")
    toy_models.window_model(store)
    add_speech_model(store)
    return store


@pytest.fixture
def objects() -> DictionaryStore:
    """The objects of the box."""
    return DictionaryStore()


@pytest.fixture
def box(
    tmp_path: Path, migrated: Path, box_models: Path, objects: DictionaryStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Box]:
    """A box with the tenants 1 and 2 and no other rows."""
    monkeypatch.setenv("APPLIANCE_CONFIG", os.devnull)
    shutil.copy(migrated, tmp_path)
    box = make_box(tmp_path, box_models, objects)
    yield box
    box.db.close()
