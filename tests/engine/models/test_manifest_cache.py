"""A manifest is read again only if its file has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.engine.models import manifest as manifest_module
from appliance.engine.models import store as store_module
from appliance.engine.models.manifest import Manifest
from appliance.engine.models.speech_manifest import SpeechManifest
from appliance.errors import ModelNotFound
from tests.support import toy_models


def test_a_manifest_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_models.frame_model(tmp_path)
    toy_models.frame_model(tmp_path, version="0.9.0")
    reads: list[Path] = []

    def read(path: Path) -> Manifest | SpeechManifest:
        reads.append(path)
        return manifest_module.read_manifest(path)

    monkeypatch.setattr(store_module, "read_manifest", read)
    models = store_module.ModelStore(tmp_path)
    for _ in range(3):
        model = models.resolve("loud-frames")
    assert len(reads) == 2
    path = model.folder / store_module.MANIFEST
    path.write_text(path.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert models.resolve(model.manifest.id).manifest == model.manifest
    assert reads[2:] == [path]
    path.unlink()
    with pytest.raises(ModelNotFound):
        models.resolve(model.manifest.id)
