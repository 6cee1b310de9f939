"""Tenants and their API keys. A key is random, shown once and stored as a hash."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Database


@dataclass(frozen=True)
class ApiKey:
    """A key, without its secret."""

    id: int
    name: str
    tenant: str
    created_at: float
    revoked_at: float | None


def ensure_tenant(db: Database, name: str) -> int:
    """The id of the tenant, made where there is none. Inside a transaction."""
    db.change("INSERT INTO tenants (name, created_at) VALUES (?, unixepoch('subsec')) ON CONFLICT DO NOTHING", [name])
    row = db.one("SELECT id FROM tenants WHERE name = ?", [name])
    assert row is not None
    return int(row["id"])


def insert_key(db: Database, tenant_id: int, name: str, key_hash: bytes) -> None:
    """Store a key. Inside a transaction."""
    db.change(
        "INSERT INTO api_keys (tenant_id, name, key_hash, created_at) VALUES (?, ?, ?, unixepoch('subsec'))",
        [tenant_id, name, key_hash],
    )


def revoke_key(db: Database, name: str) -> bool:
    """Revoke the live key of this name; False where there is none. Inside a transaction."""
    return (
        db.change("UPDATE api_keys SET revoked_at = unixepoch('subsec') WHERE name = ? AND revoked_at IS NULL", [name])
        == 1
    )


def tenant_of_key(db: Database, key_hash: bytes) -> int | None:
    """The id of the tenant whose live key has this hash."""
    row = db.one("SELECT tenant_id FROM api_keys WHERE key_hash = ? AND revoked_at IS NULL", [key_hash])
    return row and int(row["tenant_id"])


def list_keys(db: Database) -> list[ApiKey]:
    """Every key, revoked ones too, oldest first."""
    rows = db.all(
        """
        SELECT k.id, k.name, t.name AS tenant, k.created_at, k.revoked_at
        FROM api_keys k JOIN tenants t ON t.id = k.tenant_id ORDER BY k.id
        """
    )
    return [ApiKey(**dict(row)) for row in rows]
