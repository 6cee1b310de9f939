"""One bad row or object must not stop the rest: tells damaged objects from storage that is away, and goes on.

Storage answers both with the same errors. So an object counts as damaged if it cannot be read while storage is ready.
One such answer proves little: callers try again, with growing waits, before they give the object up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import structlog

from appliance.errors import ApplianceError, DatabaseBusy, ObjectDamaged, StorageFull, StorageUnavailable
from appliance.services.box import Box

log = structlog.get_logger()

PATIENCE_SECONDS = 3600.0  # after an upload's form expired, for so long an object that cannot be read is tried again


@contextmanager
def damage_noticed(box: Box, key: str) -> Iterator[None]:
    """Raise ObjectDamaged in place of StorageUnavailable if storage is ready. For reads of one object only."""
    try:
        yield
    except StorageUnavailable as error:
        if not box.objects.ready():
            raise
        raise ObjectDamaged(f"Object storage works, but cannot read {key}. The disk may be failing.") from error


@contextmanager
def going_on(box: Box, subject: str) -> Iterator[None]:
    """Log an error that concerns one subject only, so that its caller goes on with the next.

    Raises StorageUnavailable, StorageFull and DatabaseBusy if the next would meet the same.
    """
    try:
        yield
    except (DatabaseBusy, StorageFull):
        raise
    except ApplianceError as error:
        if isinstance(error, StorageUnavailable) and not box.objects.ready():
            raise
        log.error("left for the next round", subject=subject, code=error.code, error=str(error))


def check_readable(box: Box, key: str) -> None:
    """Read an object to its end and throw the bytes away. Raises ObjectDamaged, ObjectMissing."""
    with damage_noticed(box, key):
        box.objects.fetch(key, box.objects.stat(key).etag, cast(BinaryIO, _Nowhere()))


def damage_of(box: Box, key: str, error: StorageUnavailable, expires_at: float) -> ObjectDamaged:
    """Return the damage of an upload that still cannot be read PATIENCE_SECONDS after its form expired.

    Raises ``error``, which the upload met, if that is not so.
    """
    if expires_at < time.time() - PATIENCE_SECONDS and not isinstance(error, StorageFull):
        try:
            check_readable(box, key)
        except ObjectDamaged as damage:
            return damage
    raise error


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: bytes) -> int:
        """Take the bytes."""
        return len(data)
