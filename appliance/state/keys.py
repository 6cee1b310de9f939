"""Tenants and their API keys. A key is random, shown once and stored as a hash."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Reader, Transaction


@dataclass(frozen=True)
class ApiKey:
    """A key, without its secret."""

    id: int
    name: str
    tenant: str
    created_at: float
    revoked_at: float | None


def ensure_tenant(tx: Transaction, name: str) -> int:
    """Return the id of the tenant of this name. Creates the tenant if there is none."""
    tx.change("INSERT INTO tenants (name, created_at) VALUES (?, unixepoch('subsec')) ON CONFLICT DO NOTHING", [name])
    row = tx.one("SELECT id FROM tenants WHERE name = ?", [name])
    assert row is not None
    return int(row["id"])


def insert_key(tx: Transaction, tenant_id: int, name: str, key_hash: bytes) -> None:
    """Store a key."""
    tx.insert("api_keys", ("created_at",), tenant_id=tenant_id, name=name, key_hash=key_hash)


def revoke_key(tx: Transaction, name: str) -> bool:
    """Revoke the live key of this name. Returns False if there is none."""
    changed = tx.change(
        "UPDATE api_keys SET revoked_at = unixepoch('subsec') WHERE name = ? AND revoked_at IS NULL", [name]
    )
    return changed == 1


def tenant_of_key(db: Reader, key_hash: bytes) -> int | None:
    """Return the id of the tenant whose live key has this hash, or None."""
    row = db.one("SELECT tenant_id FROM api_keys WHERE key_hash = ? AND revoked_at IS NULL", [key_hash])
    return row and int(row["tenant_id"])


def list_keys(db: Reader) -> list[ApiKey]:
    """Return every key, also the revoked ones, oldest first."""
    rows = db.all(
        """
        SELECT k.id, k.name, t.name AS tenant, k.created_at, k.revoked_at
        FROM api_keys k JOIN tenants t ON t.id = k.tenant_id ORDER BY k.id
        """
    )
    return [ApiKey(**dict(row)) for row in rows]
