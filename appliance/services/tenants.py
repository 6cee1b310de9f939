"""Tenants: create, list, disable, enable."""

from __future__ import annotations

from appliance.errors import Conflict, InvalidRequest, NotFound
from appliance.services import audit
from appliance.services.keys import check_name
from appliance.state import keys as key_rows
from appliance.state import tenants as tenant_rows
from appliance.state.database import Database, Reader
from appliance.state.tenants import Tenant

LONGEST_DAYS = 36_500
RETENTION = ("originals_days", "scores_days", "results_days")


def create_tenant(db: Database, name: str) -> Tenant:
    """Create a tenant, without a key. Raises InvalidRequest for a bad name, Conflict if there is one of this name."""
    check_name("name", name)
    with db.transaction() as tx:
        if not tenant_rows.insert_tenant(tx, name):
            raise Conflict(f"There is a tenant named {name!r} already.")
        audit.note(tx, "tenant created", name)
        return _named(tx, name)


def list_tenants(db: Database) -> list[Tenant]:
    """Return every tenant, oldest first."""
    return tenant_rows.list_tenants(db)


def find_tenant(db: Database, name: str) -> Tenant:
    """Return the tenant of this name. Raises NotFound."""
    return _named(db, name)


def disable_tenant(db: Database, tenant_id: int, *, keep_administrator: bool) -> Tenant:
    """Refuse all keys of a tenant from now on. Its data stays, and work that waits is done. Raises NotFound.

    With ``keep_administrator`` it raises Conflict if no live key of another tenant has the scope admin.
    """
    with db.transaction() as tx:
        tenant = _of_id(tx, tenant_id)
        administrators = {key.tenant_id for key in key_rows.live_administrators(tx)}
        if keep_administrator and administrators == {tenant_id}:
            raise Conflict(
                "The last key with the scope admin is of this tenant. Create one for another tenant first, or run "
                "`appliance tenants disable` on the appliance itself."
            )
        tenant_rows.set_disabled(tx, tenant.id, disabled=True)
        audit.note(tx, "tenant disabled", tenant.name)
        return _of_id(tx, tenant_id)


def enable_tenant(db: Database, tenant_id: int) -> Tenant:
    """Let the keys of a tenant in again. Raises NotFound."""
    with db.transaction() as tx:
        tenant = _of_id(tx, tenant_id)
        tenant_rows.set_disabled(tx, tenant.id, disabled=False)
        audit.note(tx, "tenant enabled", tenant.name)
        return _of_id(tx, tenant_id)


def set_retention(
    db: Database, tenant_id: int, originals: float | None, scores: float | None, results: float | None
) -> Tenant:
    """Set the days of retention of a tenant: None is the setting of the appliance, and 0 keeps all.

    Raises NotFound, and InvalidRequest naming the field.
    """
    chosen = dict(zip(RETENTION, (originals, scores, results), strict=True))
    for name, days in chosen.items():
        if days is not None and not 0 <= days <= LONGEST_DAYS:
            raise InvalidRequest(f"{name}: must be 0 to {LONGEST_DAYS}.")
    with db.transaction() as tx:
        tenant = _of_id(tx, tenant_id)
        tenant_rows.set_retention(tx, tenant.id, originals, scores, results)
        shown = ", ".join(f"{name} {days}" for name, days in chosen.items())
        audit.note(tx, "retention set", f"{tenant.name}: {shown}")
        return _of_id(tx, tenant_id)


def _named(db: Reader, name: str) -> Tenant:
    for tenant in tenant_rows.list_tenants(db):
        if tenant.name == name:
            return tenant
    raise NotFound(f"There is no tenant named {name!r}.")


def _of_id(db: Reader, tenant_id: int) -> Tenant:
    for tenant in tenant_rows.list_tenants(db):
        if tenant.id == tenant_id:
            return tenant
    raise NotFound(f"There is no tenant with the id {tenant_id}.")
