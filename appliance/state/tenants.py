"""Tenants. Whatever a client creates belongs to one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.state.database import Reader, Transaction, columns


@dataclass(frozen=True)
class Tenant:
    """A tenant. ``disabled_at`` is None unless it is disabled."""

    id: int
    name: str
    created_at: float
    disabled_at: float | None
    originals_days: float | None  # of retention; None is the setting of the appliance
    scores_days: float | None
    results_days: float | None


@dataclass(frozen=True)
class Whose:
    """Some tenants, or all but some."""

    tenants: Sequence[int]
    is_included: bool

    def condition(self, tenant_id: str) -> str:
        """Return the condition that the SQL expression ``tenant_id`` is one of them."""
        ids = json.dumps(list(self.tenants))
        return f"{tenant_id} {'' if self.is_included else 'NOT'} IN (SELECT value FROM json_each('{ids}'))"


EVERYBODY = Whose((), is_included=False)


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


def set_retention(
    tx: Transaction, tenant_id: int, originals: float | None, scores: float | None, results: float | None
) -> None:
    """Set the days of retention of a tenant."""
    tx.change(
        "UPDATE tenants SET originals_days = ?, scores_days = ?, results_days = ? WHERE id = ?",
        [originals, scores, results, tenant_id],
    )
