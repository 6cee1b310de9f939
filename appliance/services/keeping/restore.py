"""Makes a data folder from a backup. The database gets its name last: an interrupted run leaves no half appliance."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.errors import BackupDamaged, ConfigurationError
from appliance.services import audit
from appliance.services.box import TRAINED
from appliance.services.keeping.folder import BackupFolder
from appliance.state import objects as object_rows
from appliance.state.catalog import Catalog, KeptCopy
from appliance.state.database import Database
from appliance.storage.objects import ObjectStore

BLOCK_BYTES = 1024**2


@dataclass
class RestoreReport:
    """What a restore did. ``retagged`` objects got another tag, because their parts had a size that is not known."""

    objects: int = 0
    retagged: int = 0
    models: int = 0
    missing: int = 0


def check_target(data_dir: Path) -> None:
    """Raise ConfigurationError if there is an appliance in the folder."""
    if (data_dir / "appliance.db").exists():
        raise ConfigurationError(f"{data_dir} holds an appliance. Name an empty folder, or move that one away.")


def restore(
    root: Path, data_dir: Path, model_store: Path, objects: ObjectStore, say: Callable[[str], None] = lambda _: None
) -> RestoreReport:
    """Fill an empty data folder, whose storage runs. Every byte is compared with the backup's checksums.

    Raises BackupDamaged, ConfigurationError, StorageUnavailable, StateError.
    """
    folder, report = BackupFolder(root), RestoreReport()
    folder.description()
    check_target(data_dir)
    partial = data_dir / "appliance.restoring"
    shutil.copyfile(folder.database, partial)
    partial.chmod(0o600)
    copy = Database(partial)
    copy.check()
    with Catalog(folder.catalog) as catalog:
        for named in object_rows.all_named(copy):
            kept = catalog.find(named.key)
            if kept is None:
                report.missing += 1  # storage lacked it when the backup was made
                continue
            with _verified(folder, kept) as file:
                etag = objects.put_again(kept.key, file, kept.size_bytes, kept.etag)
            if etag != kept.etag:
                report.retagged += 1
                with copy.transaction() as tx:
                    object_rows.set_etag(tx, named, etag)
            report.objects += 1
            if report.objects % 1000 == 0:
                say(f"{report.objects} objects are stored.")
    with copy.transaction() as tx:
        audit.note(tx, "backup restored", str(root))
    copy.close()
    if folder.spool.is_dir():
        shutil.copytree(folder.spool, data_dir / "spool", dirs_exist_ok=True)
    report.models = _restore_models(folder.models, "*/*/", model_store)
    report.models += _restore_models(folder.trained, "*/*/*/", data_dir / TRAINED)
    partial.replace(data_dir / "appliance.db")
    return report


@contextmanager
def _verified(folder: BackupFolder, kept: KeptCopy) -> Iterator[BinaryIO]:
    """Open a copy. Raises BackupDamaged if its bytes are not those that were written."""
    path = folder.path_of(kept.key)
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if sha256 != kept.sha256:
                raise BackupDamaged(f"{path} is damaged: its checksum is not the one that the backup noted.")
            file.seek(0)
            yield file
    except OSError as error:
        raise BackupDamaged(f"{path} cannot be read: {error.strerror}.") from error


def _restore_models(source: Path, versions: str, store: Path) -> int:
    """Copy the models that the store lacks. Returns how many. Raises ConfigurationError."""
    count = 0
    for version in sorted(source.glob(versions)):
        target = store / version.relative_to(source)
        if not target.exists():
            try:
                shutil.copytree(version, target)
            except OSError as error:
                raise ConfigurationError(f"The model store {store} cannot be written: {error}.") from error
            count += 1
    return count
