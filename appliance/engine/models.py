"""The model store: ``<name>/<version>/`` with ``model.onnx``, ``manifest.toml`` and a model card.

Reads manifests and checksums; what needs the graph itself is in ``registration``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from appliance.engine.manifest import Manifest, read_manifest
from appliance.errors import InvalidManifest, ModelNotFound

GRAPH = "model.onnx"
MANIFEST = "manifest.toml"
CARD = "MODEL_CARD.md"


@dataclass(frozen=True)
class StoredModel:
    """A version of a model on disk."""

    manifest: Manifest
    folder: Path

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.folder / GRAPH


class ModelStore:
    """The models of one folder. Reads the folder anew at each call, so that a model dropped in is found."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def models(self) -> list[StoredModel]:
        """Every readable model, by name, newest version first."""
        found = [model for model in map(self._read_or_none, self._folders()) if model]
        found.sort(key=lambda m: Version(m.manifest.version), reverse=True)
        return sorted(found, key=lambda m: m.manifest.name)

    def faults(self) -> list[str]:
        """One sentence for each model that cannot be read."""
        sentences = []
        for folder in self._folders():
            try:
                self._read(folder)
            except InvalidManifest as error:
                sentences.append(str(error))
        return sentences

    def resolve(self, model_id: str) -> StoredModel:
        """The model of ``<name>`` (its newest version) or ``<name>@<version>``. Raises ModelNotFound."""
        name, _, version = model_id.partition("@")
        for model in self.models():
            if model.manifest.name == name and version in ("", model.manifest.version):
                return model
        raise ModelNotFound(f"There is no model {model_id!r}; `appliance models list` and GET /api/v1/models show all.")

    def _folders(self) -> list[Path]:
        return sorted(path.parent for path in self.root.glob(f"*/*/{MANIFEST}"))

    def _read(self, folder: Path) -> StoredModel:
        manifest = read_manifest(folder / MANIFEST)
        if (folder.parent.name, folder.name) != (manifest.name, manifest.version):
            raise InvalidManifest(f"{folder / MANIFEST}: name, version: the folder must be {manifest.id} too.")
        if not (folder / GRAPH).is_file():
            raise InvalidManifest(f"{folder}: {GRAPH} is missing.")
        return StoredModel(manifest, folder)

    def _read_or_none(self, folder: Path) -> StoredModel | None:
        try:
            return self._read(folder)
        except InvalidManifest:
            return None


def check_checksum(model: StoredModel) -> None:
    """Raises InvalidManifest where the graph is not the one that the manifest names."""
    with model.graph.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.manifest.sha256:
        raise InvalidManifest(f"{model.folder / MANIFEST}: sha256: model.onnx has {found}.")
