"""Tenants. Whatever a client creates belongs to one."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state.database import Reader, Transaction, columns


@dataclass(frozen=True)
class Tenant:
    """A tenant. ``disabled_at`` is None unless it is disabled."""

    id: int
    name: str
    created_at: float
    disabled_at: float | None


def ensure_tenant(tx: Transaction, name: str) -> int:
    """Return the id of the tenant of this name. Creates the tenant if there is none."""
    insert_tenant(tx, name)
    row = tx.one("SELECT id FROM tenants WHERE name = ?", [name])
    assert row is not None
    return int(row["id"])


def insert_tenant(tx: Transaction, name: str) -> bool:
    """Create a tenant. Returns False if there is one of this name."""
    changed = tx.change(
        "INSERT INTO tenants (name, created_at) VALUES (?, unixepoch('subsec')) ON CONFLICT DO NOTHING", [name]
    )
    return changed == 1


def list_tenants(db: Reader) -> list[Tenant]:
    """Return every tenant, oldest first."""
    return [Tenant(**dict(row)) for row in db.all(f"SELECT {columns(Tenant)} FROM tenants ORDER BY id")]


def set_disabled(tx: Transaction, tenant_id: int, *, disabled: bool) -> None:
    """Disable or enable a tenant. One that is disabled already keeps the time of that."""
    disabled_at = "coalesce(disabled_at, unixepoch('subsec'))" if disabled else "NULL"
    tx.change(f"UPDATE tenants SET disabled_at = {disabled_at} WHERE id = ?", [tenant_id])
