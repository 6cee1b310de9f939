"""What each tenant uses. Triggers keep it in step with the rows that it counts."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Reader, columns


@dataclass(frozen=True)
class Usage:
    """What a tenant uses now; ``audio_ms`` is the audio that was analyzed today, in UTC."""

    stored_bytes: int
    pending_uploads: int
    active_files: int
    audio_ms: int


_TODAY = "CASE WHEN audio_day = unixepoch() / 86400 THEN audio_ms ELSE 0 END"


def of_tenant(db: Reader, tenant_id: int) -> Usage:
    """Return what the tenant uses."""
    row = db.one(f"SELECT {columns(Usage, audio_ms=_TODAY)} FROM tenant_usage WHERE tenant_id = ?", [tenant_id])
    return Usage(**dict(row)) if row else Usage(0, 0, 0, 0)
