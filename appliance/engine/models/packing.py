"""A model on its way to another machine: its files, and one SHA-256 over all of them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from appliance.engine.models.store import MANIFEST, ModelStore, StoredModel
from appliance.errors import InvalidManifest


def pack(model: StoredModel) -> dict[str, bytes]:
    """Return the manifest and the files that it names, by name."""
    names = [MANIFEST, *(path.name for path, _ in model.checksums.values())]
    return {name: (model.folder / name).read_bytes() for name in names}


def digest_of(files: dict[str, bytes]) -> str:
    """Return the SHA-256 of a packed model in hexadecimal."""
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return whole.hexdigest()


def unpack(root: Path, model_id: str, files: dict[str, bytes], digest: str) -> None:
    """Write a packed model to the store ``root/digest``, all of it or nothing. Raises InvalidManifest."""
    if digest_of(files) != digest:
        raise InvalidManifest(f"{model_id}: its files did not arrive with the SHA-256 {digest}.")
    name, _, version = model_id.partition("@")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as partial:
        folder = Path(partial) / "store" / name / version
        folder.mkdir(parents=True)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        try:
            (Path(partial) / "store").rename(root / digest)
        except OSError:  # another process was first, or what is there is damaged
            if not is_unpacked(root, model_id, digest):
                shutil.rmtree(root / digest)
                (Path(partial) / "store").rename(root / digest)


def is_unpacked(root: Path, model_id: str, digest: str) -> bool:
    """Whether the store ``root/digest`` holds the whole model."""
    try:
        return digest_of(pack(ModelStore(root / digest).resolve(model_id))) == digest
    except Exception:  # a file is missing or damaged: it is written again
        return False
