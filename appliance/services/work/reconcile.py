"""Compares the bucket with the rows, once a day: removes objects that no row names, and reports rows without an object.

Nothing is deleted that something is about to use, for these reasons:

- Uploads by clients, under ``incoming/``, are left to the sweep, which knows their forms.
- The bytes of the raw route, of a batch, of a fetch and of normalizing get a key that a row names before they are
  stored, and the row is there until the recording is deleted. So their objects are named from the first byte on.
- A confirm copies to a new key and names it in a row at once. Only between these two steps does no row name a good
  object. So an object is deleted only if no row names it in two looks, WAIT_SECONDS apart by a clock that nobody can
  set. A confirm that is still between its steps after that time was killed: the supervisor ends processes that hang.
- A row names a new key only when the object is new. So an object that is also older than every form can be is named by
  a row that exists, or by none ever.
- A key that the appliance would not make is never deleted.
- An upload in parts that was never ended is aborted only if it is as old, was there in both looks, and no pending file
  waits for it. (The sweep aborts sooner what clients abandoned.)
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import structlog

from appliance.errors import ObjectMissing
from appliance.services.box import Box
from appliance.services.damage import going_on
from appliance.services.inference import multipart
from appliance.state import objects as object_rows
from appliance.storage.objects import StoredKey
from appliance.text import counted

log = structlog.get_logger()

PAGE = 1000
MOST_ORPHANS = 10_000  # of one round; the rest waits for the next day
WAIT_SECONDS = 600.0
MARGIN_SECONDS = 86_400.0  # an upload that is stored in parts, or a fetch, may take hours
OWN_KEY = re.compile(r"tenant-\d+/(media|(inference|dataset)-[0-9a-f-]{36})/[0-9a-f-]{36}/[a-z0-9-]+")


def reconcile(box: Box, stopping: threading.Event) -> str | None:
    """Delete orphans and uploads that were never ended. Returns a sentence if rows lack their object.

    Raises StorageUnavailable. Ends early if ``stopping`` is set.
    """
    oldest = time.time() - age_seconds(box)
    unended = box.objects.list_unended(oldest)
    orphans: list[str] = []
    stored_hashes: set[int] = set()  # of keys: 1,000,000 of them need under 100 MB
    for stored in walk(box):
        stored_hashes.add(hash(stored.key))
        if len(orphans) < MOST_ORPHANS and _is_orphan(box, stored, oldest):
            orphans.append(stored.key)
    missing = [
        key for key in object_rows.all_kept(box.db) if hash(key) not in stored_hashes and not _is_stored(box, key)
    ]
    if (unended or orphans or missing) and stopping.wait(WAIT_SECONDS):
        return None
    for upload in unended:
        with going_on(box, upload.key):
            multipart.abort_unless_awaited(box, upload)
    for key in orphans:
        with going_on(box, key):
            if not object_rows.is_named(box.db, key):
                box.objects.delete(key)
                log.info("object deleted that no row names", key=key)
    missing = [key for key in missing if object_rows.is_named(box.db, key) and not _is_stored(box, key)]
    if not missing:
        return None
    lacks = counted(len(missing), "object")
    return f"Storage lacks {lacks} of recordings, such as {missing[0]}; restore them from a backup."


def age_seconds(box: Box) -> float:
    """Return how old an object is at least when it counts as an orphan: older than any upload in progress."""
    settings = box.settings
    longest = max(settings.upload_expires_seconds + settings.upload_grace_seconds, settings.fetch_timeout_seconds)
    return longest + MARGIN_SECONDS


def _is_orphan(box: Box, stored: StoredKey, oldest: float) -> bool:
    if stored.modified_at > oldest or not OWN_KEY.fullmatch(stored.key):
        return False
    return not object_rows.is_named(box.db, stored.key)


def _is_stored(box: Box, key: str) -> bool:
    try:
        box.objects.stat(key)
    except ObjectMissing:
        return False
    return True


def walk(box: Box) -> Iterator[StoredKey]:
    """Yield every object in storage."""
    after = ""
    while page := box.objects.list("", PAGE, after):
        yield from page
        after = page[-1].key
