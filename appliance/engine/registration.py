"""Adds a model to the store after it was loaded and checked, in a process that could do no harm; removes models."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.config import Settings
from appliance.engine.confinement.confine import environment
from appliance.engine.models.manifest import read_manifest
from appliance.engine.models.store import CARD, MANIFEST, ModelStore, StoredModel, check_checksum, check_files
from appliance.errors import InvalidManifest, ModelExists, ModelNotFound

PROGRAM = ("-m", "appliance.engine.model_check")
MAX_TEXT_BYTES = 1024**2  # of the manifest and of the model card
MAX_ANSWER_BYTES = 65_536


@dataclass(frozen=True)
class CheckLimits:
    """What a model may be and may take when it is checked."""

    file_bytes: int = 1024**3  # of each of its files
    memory_bytes: int = 4 * 1024**3  # address space of the process that checks it
    seconds: int = 120  # time, and CPU time, of that process

    @classmethod
    def from_settings(cls, settings: Settings) -> CheckLimits:
        """Return the limits in the appliance's settings."""
        return cls(settings.max_model_bytes, settings.model_check_memory_bytes, settings.model_check_seconds)


def add_model(store: ModelStore, source: Path, limits: CheckLimits) -> StoredModel:
    """Check the model in ``source``, copy its files into the store and return the copy.

    Only the manifest, the model card and the files that the manifest names are copied. Returns the stored model if the
    store has this version with the same manifest. Raises InvalidManifest, or ModelExists if the store has this version
    with another manifest or in a state that cannot be used.
    """
    _refuse_link(source / MANIFEST)
    _check_file(source / MANIFEST, MAX_TEXT_BYTES)
    model = StoredModel(read_manifest(source / MANIFEST), source)
    for path in _files(model):
        _refuse_link(path)
    check_model(model, limits)
    manifest = model.manifest
    target = store.root / manifest.name / manifest.version
    try:
        existing = store.resolve(manifest.id)
    except ModelNotFound:
        existing = None
    if existing:
        if existing.manifest == manifest:
            return existing
        raise ModelExists(f"{manifest.id} is in the model store with another manifest; give it a new version.")
    if target.exists():
        raise ModelExists(f"{target} exists but cannot be used; `appliance models verify` says why.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.root, prefix=".adding-") as folder:
        copy = Path(folder) / "model"
        copy.mkdir()
        for path in _files(model):
            shutil.copy(path, copy)
        check_checksum(StoredModel(read_manifest(copy / MANIFEST), copy))
        copy.replace(target)
    return StoredModel(manifest, target)


def remove_model(store: ModelStore, model_id: str) -> None:
    """Remove the version ``<name>@<version>`` of a model, whether it can be used or not. Raises ModelNotFound."""
    folder = store.folder_of(model_id)
    with tempfile.TemporaryDirectory(dir=store.root, prefix=".removing-") as removed:
        folder.replace(Path(removed) / "model")  # at once: nobody reads half of a model
    with suppress(OSError):  # other versions are there
        folder.parent.rmdir()


def check_model(model: StoredModel, limits: CheckLimits) -> None:
    """Load a model in a process with limits and compare it with its manifest.

    Raises InvalidManifest with the field in its message.
    """
    check_files(model)
    for path in _files(model):
        _check_file(path, MAX_TEXT_BYTES if path.name in (MANIFEST, CARD) else limits.file_bytes)
    fault = _answer(model.folder, limits)
    if fault is not None:
        raise InvalidManifest(fault)


def _answer(folder: Path, limits: CheckLimits) -> str | None:
    """Return what ``model_check`` says of the model, None if it is good. Raises InvalidManifest if it dies of it."""
    command = [sys.executable, "-s", *PROGRAM]
    command += [str(folder.absolute()), str(limits.memory_bytes), str(limits.seconds)]
    with subprocess.Popen(
        command,
        env=environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        timer = threading.Timer(limits.seconds, process.kill)
        timer.start()
        answer = process.stdout.read(MAX_ANSWER_BYTES)
        if len(answer) == MAX_ANSWER_BYTES:
            process.kill()
        status = process.wait()
        timer.cancel()
    if status in (-signal.SIGKILL, -signal.SIGXCPU):
        raise InvalidManifest(f"{folder}: the check of the model took longer than {limits.seconds} s, or was killed.")
    try:
        fault = json.loads(answer)
    except (ValueError, RecursionError) as error:
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        raise InvalidManifest(f"{folder}: the model crashed the process that checked it ({name}).") from error
    return None if fault is None else "".join(c if c.isprintable() else " " for c in str(fault))


def _files(model: StoredModel) -> list[Path]:
    card = model.folder / CARD
    return [model.folder / MANIFEST, *[card] * card.exists(), *(path for path, _ in model.checksums.values())]


def _refuse_link(path: Path) -> None:
    """Raise InvalidManifest if a file to be copied is a link, which could lead to any file of this machine."""
    if path.is_symlink():
        raise InvalidManifest(f"{path} is a link; a model is copied from regular files.")


def _check_file(path: Path, max_bytes: int) -> None:
    """Raise InvalidManifest if a file is too large or no regular file."""
    try:
        status = path.stat()
    except OSError as error:
        raise InvalidManifest(f"{path} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidManifest(f"{path} is not a regular file.")
    if status.st_size > max_bytes:
        raise InvalidManifest(f"{path} has {status.st_size} bytes; {max_bytes} are allowed.")
