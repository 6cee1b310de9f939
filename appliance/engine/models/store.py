"""The model store: folders ``<name>/<version>/`` with ``manifest.toml``, a model card, and the model's files.

A model that scores windows has one file, ``model.onnx``; the manifest of a model for transcription names its files.
This module reads manifests and checksums. Checks that need the graph itself are in ``registration``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.version import Version

from appliance.engine.models.manifest import Manifest, read_manifest
from appliance.engine.models.speech_manifest import SpeechManifest
from appliance.errors import InvalidManifest, ModelNotFound

GRAPH = "model.onnx"
MANIFEST = "manifest.toml"
CARD = "MODEL_CARD.md"


@dataclass(frozen=True)
class StoredModel:
    """A version of a model on disk."""

    manifest: Manifest | SpeechManifest
    folder: Path
    contents: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)  # files read before

    def read(self, name: str) -> bytes:
        """Return the content of one of the model's files."""
        return self.contents[name] if name in self.contents else (self.folder / name).read_bytes()

    @property
    def graph(self) -> Path:
        """Path of the ONNX file of a model that scores windows."""
        return self.folder / GRAPH

    @property
    def scoring(self) -> Manifest:
        """The manifest of a model that scores windows. Raises InvalidManifest for any other model."""
        if not isinstance(self.manifest, Manifest):
            raise InvalidManifest(f"{self.manifest.id} is for {self.manifest.task} and scores no windows.")
        return self.manifest

    @property
    def speech(self) -> SpeechManifest:
        """The manifest of a model for transcription. Raises InvalidManifest for any other model."""
        if not isinstance(self.manifest, SpeechManifest):
            raise InvalidManifest(f"{self.manifest.id} is for {self.manifest.task}, not for transcription.")
        return self.manifest

    @property
    def checksums(self) -> dict[str, tuple[Path, str]]:
        """Path and expected SHA-256 of each file, under the key of the manifest that holds the checksum."""
        if isinstance(self.manifest, Manifest):
            return {"sha256": (self.graph, self.manifest.sha256)}
        files = {key: getattr(self.manifest.files, key) for key in type(self.manifest.files).model_fields}
        return {f"files.{key}.sha256": (self.folder / file.name, file.sha256) for key, file in files.items()}


class ModelStore:
    """The models in one folder. Every call lists the folder again, so that a model copied into it is found.

    A manifest is read again only if its file has changed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._manifests: dict[Path, tuple[tuple[int, ...], Manifest | SpeechManifest]] = {}

    def models(self) -> list[StoredModel]:
        """Return every readable model, by name, newest version first."""
        models = [model for model in map(self._read_or_none, self._folders()) if model]
        models.sort(key=lambda m: Version(m.manifest.version), reverse=True)
        return sorted(models, key=lambda m: m.manifest.name)

    def faults(self) -> list[str]:
        """Return one sentence for each model that cannot be read."""
        sentences = []
        for folder in self._folders():
            try:
                self._read(folder)
            except InvalidManifest as error:
                sentences.append(str(error))
        return sentences

    def resolve(self, model_id: str) -> StoredModel:
        """Return the model ``<name>`` (its newest version) or ``<name>@<version>``. Raises ModelNotFound."""
        name, _, version = model_id.partition("@")
        for model in self.models():
            if model.manifest.name == name and version in ("", model.manifest.version):
                return model
        if any(folder.parent.name == name and version in ("", folder.name) for folder in self._folders()):
            raise ModelNotFound(f"{model_id} cannot be used; `appliance models verify` says why.")
        raise ModelNotFound(f"There is no model {model_id!r}; `appliance models list` and GET /api/v1/models show all.")

    def folder_of(self, model_id: str) -> Path:
        """Return the folder of the version ``<name>@<version>``, readable or not. Raises ModelNotFound."""
        for folder in self._folders():
            if f"{folder.parent.name}@{folder.name}" == model_id:
                return folder
        raise ModelNotFound(f"There is no model {model_id!r}; name it as <name>@<version>.")

    def _folders(self) -> list[Path]:
        return sorted(path.parent for path in self.root.glob(f"*/*/{MANIFEST}"))

    def _read(self, folder: Path) -> StoredModel:
        manifest = self._manifest(folder / MANIFEST)
        if (folder.parent.name, folder.name) != (manifest.name, manifest.version):
            raise InvalidManifest(
                f"{folder / MANIFEST}: name, version: the manifest is of {manifest.id}, so its folder must be "
                f"{manifest.name}/{manifest.version}."
            )
        model = StoredModel(manifest, folder)
        check_files(model)
        return model

    def _manifest(self, path: Path) -> Manifest | SpeechManifest:
        stat = path.stat()
        version = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        known = self._manifests.get(path)
        if known is None or known[0] != version:
            known = self._manifests[path] = (version, read_manifest(path))
        return known[1]

    def _read_or_none(self, folder: Path) -> StoredModel | None:
        try:
            return self._read(folder)
        except InvalidManifest:
            return None


def check_files(model: StoredModel) -> None:
    """Raise InvalidManifest if a file of the model does not exist."""
    for path, _ in model.checksums.values():
        if not path.is_file():
            fix = "; scripts/install-speech fetches it" if isinstance(model.manifest, SpeechManifest) else ""
            raise InvalidManifest(f"{model.folder}: {path.name} is missing{fix}.")


def check_checksum(model: StoredModel) -> None:
    """Raise InvalidManifest if a file does not have the SHA-256 in the manifest."""
    for key, (path, expected) in model.checksums.items():
        actual = hashlib.sha256(model.read(path.name)).hexdigest()
        if actual != expected:
            raise InvalidManifest(f"{model.folder / MANIFEST}: {key}: {path.name} has the SHA-256 {actual}.")
