"""A model arrives on a node whole and with the SHA-256 that the box named, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.engine.models.packing import digest_of, is_unpacked, pack, unpack
from appliance.engine.models.store import ModelStore
from appliance.errors import InvalidManifest


def test_a_packed_model_is_the_same_on_the_node(models: Path, tmp_path: Path) -> None:
    model = ModelStore(models).resolve("loud-frames")
    files, name = pack(model), model.manifest.id
    digest = digest_of(files)
    assert not is_unpacked(tmp_path, name, digest)
    for _ in range(2):
        unpack(tmp_path, name, files, digest)
        assert is_unpacked(tmp_path, name, digest)
    assert pack(ModelStore(tmp_path / digest).resolve(name)) == files
    assert [path.name for path in tmp_path.iterdir()] == [digest]


def test_other_bytes_are_refused(models: Path, tmp_path: Path) -> None:
    model = ModelStore(models).resolve("loud-frames")
    files = pack(model)
    digest = digest_of(files)
    with pytest.raises(InvalidManifest, match=digest):
        unpack(tmp_path, model.manifest.id, files | {"model.onnx": b"other"}, digest)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_was_damaged_on_the_node_is_written_again(models: Path, tmp_path: Path) -> None:
    model = ModelStore(models).resolve("loud-frames")
    files, name = pack(model), model.manifest.id
    digest = digest_of(files)
    unpack(tmp_path, name, files, digest)
    graph = ModelStore(tmp_path / digest).resolve(name).graph
    graph.write_bytes(b"damaged")
    assert not is_unpacked(tmp_path, name, digest)
    unpack(tmp_path, name, files, digest)
    assert is_unpacked(tmp_path, name, digest)
