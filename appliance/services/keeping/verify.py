"""Compares the database with object storage: each row against its object, and each object against the rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import BinaryIO, cast

from appliance.errors import ObjectMissing, StorageError, StorageUnavailable
from appliance.services import audit
from appliance.services.box import Box
from appliance.services.keeping.folder import Hashed
from appliance.services.work.reconcile import OWN_KEY, walk
from appliance.state import objects as object_rows
from appliance.state.objects import NamedObject
from appliance.storage.access import UPLOADS
from appliance.text import counted

PAGE = 500
THREADS = 4
LOST = "lost"
MD5_TAG = re.compile(r"[0-9a-f]{32}")


@dataclass
class Findings:
    """What does not agree. ``damaged`` has a sentence for each object."""

    objects: int = 0
    database: list[str] = field(default_factory=list)
    lost: list[NamedObject] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether everything agrees."""
        return not (self.database or self.lost or self.damaged or self.orphans)


def verify(box: Box, *, reads_objects: bool = True, say: Callable[[str], None] = lambda _: None) -> Findings:
    """Check the database, every object that a row names, and every object in storage. Changes nothing.

    With ``reads_objects`` each object is read to its end and compared with its tag, and with its SHA-256 if the row
    has one. While the appliance runs, an object that was stored or deleted meanwhile may be listed as an orphan or as
    lost. Raises StorageUnavailable, StateError.
    """
    findings = Findings(database=box.db.faults())

    named_objects = object_rows.all_named(box.db)
    with ThreadPoolExecutor(THREADS) as pool:
        while page := list(islice(named_objects, PAGE)):
            faults = list(pool.map(partial(_check, box, reads_objects), page))
            findings.lost += [named for named, fault in zip(page, faults, strict=True) if fault == LOST]
            findings.damaged += [fault for fault in faults if fault and fault != LOST]
            findings.objects += len(page)
            say(f"{findings.objects} objects are compared.")
    findings.lost = [named for named in findings.lost if object_rows.is_named(box.db, named.key)]
    findings.orphans = list(_orphans(box))
    return findings


def plan(findings: Findings) -> list[str]:
    """Return what ``repair`` will do, a sentence each."""
    steps = [f"Delete {key}, which no row names." for key in findings.orphans]
    for named in filter(object_rows.can_be_lost, findings.lost):
        what = "recording" if named.is_original else "scores"
        steps.append(f"Note the loss of the {what} of {named.table} {named.row_id}.")
    return steps


def repair(box: Box, findings: Findings) -> None:
    """Do what ``plan`` says. For a stopped appliance: nothing else may write meanwhile."""
    for key in findings.orphans:
        if not object_rows.is_named(box.db, key):
            box.objects.delete(key)
    with box.db.transaction() as tx:
        for named in findings.lost:
            object_rows.mark_lost(tx, named)
        audit.note(
            tx, "repaired", f"{counted(len(findings.orphans), 'object')} deleted, {len(findings.lost)} noted as lost"
        )


def _check(box: Box, reads_objects: bool, named: NamedObject) -> str | None:
    """Return what is wrong with an object, LOST if it is not there, None if nothing. Raises StorageUnavailable."""
    try:
        return _fault_of(box, named, reads_objects=reads_objects)
    except ObjectMissing:
        return LOST
    except StorageError as error:
        if isinstance(error, StorageUnavailable) and not box.objects.ready():
            raise
        return str(error)


def _fault_of(box: Box, named: NamedObject, *, reads_objects: bool) -> str | None:
    """Return what is wrong with an object, None if nothing. Raises ObjectMissing, ObjectChanged, StorageError."""
    info = box.objects.stat(named.key)
    if named.etag and info.etag != named.etag:
        return f"{named.key} has the tag {info.etag}, and its row {named.etag}."
    if named.size_bytes is not None and info.size_bytes != named.size_bytes:
        return f"{named.key} has {info.size_bytes} bytes, and its row {named.size_bytes}."
    if not reads_objects:
        return None
    hashed = Hashed()
    box.objects.fetch(named.key, info.etag, cast(BinaryIO, hashed))
    if hashed.size_bytes != info.size_bytes:
        return f"{named.key} has {info.size_bytes} bytes, of which {hashed.size_bytes} can be read."
    if MD5_TAG.fullmatch(info.etag) and hashed.md5.hexdigest() != info.etag:
        return f"{named.key}: its bytes do not have the checksum in its tag."
    if named.sha256 and hashed.sha256.hexdigest() != named.sha256:
        return f"{named.key}: its bytes do not have the SHA-256 in its row."
    return None


def _orphans(box: Box) -> Iterator[str]:
    """Yield objects that no row names, without uploads in progress and keys that the appliance would not make."""
    for stored in walk(box):
        is_own = OWN_KEY.fullmatch(stored.key) and not stored.key.startswith(UPLOADS)
        if is_own and not object_rows.is_named(box.db, stored.key):
            yield stored.key
