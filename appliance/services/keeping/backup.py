"""Writes a backup while the appliance runs.

The database is copied first, as it is at one moment, and then the objects that this copy names. Objects never change
under their keys, so one that the folder has already is not read again. What is deleted meanwhile, or moved from the
spool to storage, is missing then; so the database is copied again until a copy and its objects agree. Each further
round is short, since it has only what is new.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from appliance.config import Settings
from appliance.errors import BackupDamaged, ObjectChanged, ObjectMissing
from appliance.services import audit
from appliance.services.box import TRAINED, Box
from appliance.services.keeping.folder import BackupFolder, Hashed, written
from appliance.state import objects as object_rows
from appliance.state.catalog import Catalog, KeptCopy
from appliance.state.database import Database
from appliance.state.objects import NamedObject

ROUNDS = 10
PAGE = 500
THREADS = 4
NOT_KEPT = (  # of this box alone, or secret
    *("data_dir", "model_store", "storage_access_key", "storage_secret_key"),
    *("storage_read_access_key", "storage_read_secret_key"),
)


@dataclass
class BackupReport:
    """What a backup did: objects in it, objects and bytes copied by this run, and keys that storage lacks."""

    objects: int = 0
    copied: int = 0
    copied_bytes: int = 0
    removed: int = 0
    missing: list[str] = field(default_factory=list)


def backup(
    box: Box, root: Path, *, with_secrets: bool = False, say: Callable[[str], None] = lambda _: None
) -> BackupReport:
    """Bring the backup in a folder up to date, or make a new one. An interrupted run leaves the older one readable.

    Raises ConfigurationError if the folder holds something else, BackupDamaged, StorageUnavailable, StateError.
    """
    folder, report = BackupFolder(root), BackupReport()
    folder.prepare()
    with box.db.transaction() as tx:
        audit.note(tx, "backup made", f"{root}, with secrets" if with_secrets else str(root))
    partial = folder.database.with_suffix(".partial")
    with Catalog(folder.catalog) as catalog:
        for number in range(1, ROUNDS + 1):
            partial.unlink(missing_ok=True)
            box.db.copy_to(partial)
            say(f"Round {number}: the database is copied; now what it names and the folder lacks.")
            if _copy_named(box, folder, catalog, Database(partial), report):
                break
        else:
            raise BackupDamaged(f"Uploads and deletions outran the backup {ROUNDS} times. Try it again.")
        _finish_database(Database(partial), with_secrets=with_secrets)
        _copy_models(box.settings.model_store, folder.models)
        _copy_models(box.settings.data_dir / TRAINED, folder.trained)
        folder.settings.write_text(settings_text(box.settings))
        os.sync()
        partial.replace(folder.database)
        folder.describe(has_secrets=with_secrets)
        _prune(folder, catalog, report)
    return report


def settings_text(settings: Settings) -> str:
    """Return the settings that are not at their defaults, as TOML, without secrets and paths of this box."""
    values = settings.model_dump(mode="json")
    defaults = Settings.model_construct().model_dump(mode="json")
    lines = [
        f"{name} = {json.dumps(value)}"
        for name, value in values.items()
        if name not in NOT_KEPT and value is not None and value != defaults[name]
    ]
    return "\n".join(["# The settings that were not at their defaults.", *lines]) + "\n"


def _copy_named(box: Box, folder: BackupFolder, catalog: Catalog, copy: Database, report: BackupReport) -> bool:
    """Copy what the copy of the database names. Returns False if some of it was deleted or moved meanwhile."""
    try:
        report.missing = _copy_objects(box, folder, catalog, copy, report)
        has_spool = _copy_spool(box, folder, copy)
    finally:
        copy.close()
    # What the database still names is what storage lacks: another round would not find it either.
    return has_spool and all(object_rows.is_named(box.db, key) for key in report.missing)


def _finish_database(copy: Database, *, with_secrets: bool) -> None:
    if not with_secrets:
        with copy.transaction() as tx:
            object_rows.forget_secrets(tx)
    copy.close()
    copy.check()


def _copy_objects(box: Box, folder: BackupFolder, catalog: Catalog, copy: Database, report: BackupReport) -> list[str]:
    """Copy what the folder lacks. Returns the keys that storage lacks."""
    missing: list[str] = []
    report.objects = 0

    def fetch(named: NamedObject) -> KeptCopy | None:
        try:
            etag = named.etag or box.objects.stat(named.key).etag
            with written(folder.path_of(named.key)) as file:
                hashed = Hashed(file)
                box.objects.fetch(named.key, etag, cast(BinaryIO, hashed))
        except (ObjectMissing, ObjectChanged):
            return None
        return KeptCopy(named.key, etag, hashed.size_bytes, hashed.sha256.hexdigest())

    with ThreadPoolExecutor(THREADS) as pool:
        for page in _pages(object_rows.all_named(copy)):
            report.objects += len(page)
            wanted = [named for named in page if not _has(folder, catalog, named)]
            copies = list(pool.map(fetch, wanted))
            fetched = [one for one in copies if one]
            catalog.add(fetched)
            report.copied += len(fetched)
            report.copied_bytes += sum(one.size_bytes for one in fetched)
            missing += [named.key for named, one in zip(wanted, copies, strict=True) if one is None]
    return missing


def _pages(named: Iterator[NamedObject]) -> Iterator[list[NamedObject]]:
    while page := list(islice(named, PAGE)):
        yield page


def _has(folder: BackupFolder, catalog: Catalog, named: NamedObject) -> bool:
    copy = catalog.find(named.key)
    if copy is None or (named.etag and copy.etag != named.etag):
        return False
    path = folder.path_of(named.key)
    return path.is_file() and path.stat().st_size == copy.size_bytes


def _copy_spool(box: Box, folder: BackupFolder, copy: Database) -> bool:
    """Copy the uploads on their way to storage. Returns False if one has left the spool meanwhile."""
    shutil.rmtree(folder.spool, ignore_errors=True)
    for batch_id, media_id in object_rows.all_spooled(copy):
        try:
            with (
                (box.settings.data_dir / "spool" / batch_id / media_id).open("rb") as source,
                written(folder.spool / batch_id / media_id) as target,
            ):
                shutil.copyfileobj(source, target)
        except FileNotFoundError:
            return False
    return True


def _copy_models(store: Path, target: Path) -> None:
    """Make ``target`` a copy of a folder of models. A file of the same size and time is not read again."""

    def copy(source: str, destination: str) -> None:
        old = Path(destination)
        new = os.stat(source)
        if old.is_file() and (old.stat().st_size, old.stat().st_mtime_ns) == (new.st_size, new.st_mtime_ns):
            return
        shutil.copy2(source, destination)

    target.mkdir(exist_ok=True)
    if store.is_dir():
        shutil.copytree(store, target, copy_function=copy, dirs_exist_ok=True)
        for path in sorted(target.rglob("*"), reverse=True):
            if not (store / path.relative_to(target)).exists():
                path.rmdir() if path.is_dir() else path.unlink()


def _prune(folder: BackupFolder, catalog: Catalog, report: BackupReport) -> None:
    """Remove the objects that the backup's database no longer names."""
    kept = Database(folder.database)
    for key in catalog.all_keys():
        if not object_rows.is_named(kept, key):
            folder.path_of(key).unlink(missing_ok=True)
            catalog.remove(key)
            report.removed += 1
    kept.close()
