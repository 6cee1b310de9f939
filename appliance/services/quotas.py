"""What a tenant may use and what the disk must keep free: every rule, for every product.

A limit of 0 is off. Whoever is over a limit gets QuotaExceeded, and StorageFull if the disk is nearly full.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass

from appliance.config import Settings
from appliance.errors import QuotaExceeded, StorageFull
from appliance.services.box import Box
from appliance.state import usage
from appliance.state.database import Reader

DAY_SECONDS = 86_400
RETRY_SECONDS = 60
CHECK_BYTES = 8 * 1024**2


@dataclass(frozen=True)
class Limit:
    """A limit by the name of its setting, the tenant's use, and the most that is allowed; None is no limit."""

    name: str
    used: float
    allowed: float | None


def limits(settings: Settings, db: Reader, tenant_id: int) -> list[Limit]:
    """Return every limit and what the tenant uses of it."""
    use = usage.of_tenant(db, tenant_id)
    return [
        Limit("tenant_stored_bytes", use.stored_bytes, settings.tenant_stored_bytes or None),
        Limit("tenant_daily_audio_seconds", use.audio_ms / 1000, settings.tenant_daily_audio_seconds or None),
        Limit("tenant_active_files", use.active_files, settings.tenant_active_files or None),
        Limit("tenant_pending_uploads", use.pending_uploads, settings.tenant_pending_uploads or None),
    ]


def check_upload(box: Box, db: Reader, tenant_id: int, size_bytes: int = 0) -> None:
    """Check a request for an upload of a file, whose size may be unknown. Raises QuotaExceeded, StorageFull."""
    _check_audio(box, db, tenant_id)
    needs = {"tenant_pending_uploads": 1, "tenant_active_files": 1, "tenant_stored_bytes": size_bytes}
    _check(box, db, tenant_id, needs)
    check_disk(box, size_bytes)


def check_work(box: Box, db: Reader, tenant_id: int, files: int = 1) -> None:
    """Check a request for the analysis of files that are stored, or will be. Raises QuotaExceeded, StorageFull."""
    _check_audio(box, db, tenant_id)
    _check(box, db, tenant_id, {"tenant_active_files": files})
    check_disk(box, 0)


def check_bytes(box: Box, db: Reader, tenant_id: int, size_bytes: int) -> None:
    """Check bytes that are about to be stored. Raises QuotaExceeded, StorageFull."""
    check_arrived(box, db, tenant_id, size_bytes)
    check_disk(box, size_bytes)


def check_arrived(box: Box, db: Reader, tenant_id: int, size_bytes: int) -> None:
    """Check bytes that are on the disk already, and not counted yet. Raises QuotaExceeded."""
    _check(box, db, tenant_id, {"tenant_stored_bytes": size_bytes})


class Meter:
    """Counts bytes as they come, of which ``reserved_bytes`` are counted already, and checks them every 8 MiB."""

    def __init__(self, box: Box, tenant_id: int, reserved_bytes: int = 0) -> None:
        self._box = box
        self._tenant_id = tenant_id
        self._reserved_bytes = reserved_bytes
        self._bytes = 0
        self._checked_bytes = 0

    def add(self, size_bytes: int) -> None:
        """Count further bytes. Raises QuotaExceeded, StorageFull."""
        self.reach(self._bytes + size_bytes)

    def reach(self, total_bytes: int) -> None:
        """Note how many bytes came so far. Raises QuotaExceeded, StorageFull."""
        self._bytes = total_bytes
        if total_bytes - self._checked_bytes >= CHECK_BYTES:
            self._checked_bytes = total_bytes
            check_bytes(self._box, self._box.db, self._tenant_id, max(0, total_bytes - self._reserved_bytes))


def _check(box: Box, db: Reader, tenant_id: int, needs: dict[str, int]) -> None:
    for limit in limits(box.settings, db, tenant_id):
        need = needs.get(limit.name, 0)
        if need and limit.allowed is not None and limit.used + need > limit.allowed:
            raise QuotaExceeded(f"{_described(limit)} This needs {need} more.", RETRY_SECONDS)


def _check_audio(box: Box, db: Reader, tenant_id: int) -> None:
    for limit in limits(box.settings, db, tenant_id):
        if limit.name == "tenant_daily_audio_seconds" and limit.allowed is not None and limit.used >= limit.allowed:
            seconds = DAY_SECONDS - int(time.time()) % DAY_SECONDS
            raise QuotaExceeded(f"{_described(limit)} Try again tomorrow, in UTC.", seconds)


def _described(limit: Limit) -> str:
    return f"{limit.name}: {limit.used:.0f} of {limit.allowed:.0f} are in use."


def check_disk(box: Box, size_bytes: int) -> None:
    """Check that the disk has room for further bytes. Raises StorageFull."""
    kept = box.settings.least_free_bytes
    if kept and (free := shutil.disk_usage(box.settings.data_dir).free) - size_bytes < kept:
        raise StorageFull(
            f"The disk of the appliance has {free} bytes free, and {kept} stay free (least_free_bytes). "
            "Try again when there is space."
        )
