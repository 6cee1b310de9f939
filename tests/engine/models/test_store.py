"""The model store lists and resolves the models in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.engine.models.store import ModelStore, check_checksum
from appliance.errors import InvalidManifest, ModelNotFound
from tests.support import toy_models


def test_the_newest_version_is_not_the_last_by_letters(tmp_path: Path) -> None:
    for version in ("1.9.0", "1.10.0", "1.10.0rc1", "0.11.0"):
        toy_models.frame_model(tmp_path, version=version)
    toy_models.window_model(tmp_path, name="another")
    store = ModelStore(tmp_path)
    assert [model.manifest.id for model in store.models()] == [
        "another@1.0.0",
        "loud-frames@1.10.0",
        "loud-frames@1.10.0rc1",
        "loud-frames@1.9.0",
        "loud-frames@0.11.0",
    ]
    assert store.resolve("loud-frames").manifest.version == "1.10.0"
    assert store.resolve("loud-frames@1.9.0").manifest.version == "1.9.0"


@pytest.mark.parametrize("model_id", ["", "@", "@1.0.0", "loud", "loud-frames@1", "loud-frames@1.0.0@", "../x", "\0"])
def test_an_unknown_model_id_is_not_found(tmp_path: Path, model_id: str) -> None:
    toy_models.frame_model(tmp_path)
    with pytest.raises(ModelNotFound):
        ModelStore(tmp_path).resolve(model_id)


def test_a_model_copied_in_is_found_and_a_removed_one_is_not(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    assert store.models() == []
    folder = toy_models.frame_model(tmp_path)
    assert store.resolve("loud-frames").folder == folder
    (folder / "manifest.toml").unlink()
    assert store.models() == []


def test_a_broken_model_is_reported_and_hides_no_other(tmp_path: Path) -> None:
    toy_models.frame_model(tmp_path)
    toy_models.window_model(tmp_path).rename(tmp_path / "loud-windows" / "2.0.0")
    (toy_models.softmax_model(tmp_path) / "model.onnx").unlink()
    broken = tmp_path / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "manifest.toml").write_bytes(b"\xff")
    store = ModelStore(tmp_path)
    assert [model.manifest.id for model in store.models()] == ["loud-frames@1.0.0"]
    faults = store.faults()
    assert len(faults) == 3
    for message in ("cannot be read", "its folder must be loud-windows/1.0.0", "model.onnx is missing"):
        assert sum(message in fault for fault in faults) == 1, message


def test_a_graph_with_another_checksum_is_refused(tmp_path: Path) -> None:
    toy_models.frame_model(tmp_path)
    model = ModelStore(tmp_path).resolve("loud-frames")
    check_checksum(model)
    model.graph.write_bytes(model.graph.read_bytes() + b"\0")
    with pytest.raises(InvalidManifest, match="sha256"):
        check_checksum(model)
