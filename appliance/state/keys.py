"""API keys. A key is random, shown once and stored as a hash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.state.database import Reader, Row, Transaction

_SELECT = """
    SELECT k.id, k.name, t.name AS tenant, k.tenant_id, k.scopes, k.created_at, k.expires_at, k.revoked_at,
        k.last_used_at, k.expires_at <= unixepoch('subsec') AS is_expired, t.disabled_at AS tenant_disabled_at
    FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
"""


@dataclass(frozen=True)
class ApiKey:
    """A key, without its secret. A key that never expires has None in ``expires_at``."""

    id: int
    name: str
    tenant: str
    tenant_id: int
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    is_expired: bool
    tenant_disabled_at: float | None

    @property
    def is_live(self) -> bool:
        """Whether requests with the key are let in."""
        return self.revoked_at is None and not self.is_expired and self.tenant_disabled_at is None


def insert_key(
    tx: Transaction, tenant_id: int, name: str, key_hash: bytes, scopes: Sequence[str], expires_seconds: float | None
) -> None:
    """Store a key that expires after ``expires_seconds``, or never."""
    tx.change(
        """
        INSERT INTO api_keys (tenant_id, name, key_hash, scopes, created_at, expires_at)
        VALUES (?, ?, ?, ?, unixepoch('subsec'), unixepoch('subsec') + ?)
        """,
        [tenant_id, name, key_hash, json.dumps(scopes), expires_seconds],
    )


def revoke_key(tx: Transaction, key_id: int) -> bool:
    """Revoke a key. Returns False if there is none of this id, or it is revoked."""
    changed = tx.change(
        "UPDATE api_keys SET revoked_at = unixepoch('subsec') WHERE id = ? AND revoked_at IS NULL", [key_id]
    )
    return changed == 1


def retire_key(tx: Transaction, key_id: int, name: str, seconds: float) -> None:
    """Give a key another name, and let it expire after ``seconds``, or sooner if it does so already."""
    tx.change(
        """
        UPDATE api_keys SET name = ?1, expires_at = min(unixepoch('subsec') + ?2, coalesce(expires_at, 1e18))
        WHERE id = ?3
        """,
        [name, seconds, key_id],
    )


def note_use(tx: Transaction, key_id: int) -> None:
    """Store that a key was used now."""
    tx.change("UPDATE api_keys SET last_used_at = unixepoch('subsec') WHERE id = ?", [key_id])


def find_by_hash(db: Reader, key_hash: bytes) -> ApiKey | None:
    """Return the key with this hash, also if it is revoked or expired, or None."""
    row = db.one(f"{_SELECT} WHERE k.key_hash = ?", [key_hash])
    return row and _key(row)


def list_keys(db: Reader) -> list[ApiKey]:
    """Return every key, also the revoked ones, oldest first."""
    return [_key(row) for row in db.all(f"{_SELECT} ORDER BY k.id")]


def live_administrators(db: Reader) -> list[ApiKey]:
    """Return every live key that may manage the appliance."""
    return [key for key in list_keys(db) if key.is_live and "admin" in key.scopes]


def _key(row: Row) -> ApiKey:
    values = dict(row)
    return ApiKey(**values | {"scopes": tuple(json.loads(values["scopes"])), "is_expired": bool(values["is_expired"])})
