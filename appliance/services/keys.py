"""API keys: create, list, revoke, authenticate."""

from __future__ import annotations

import hashlib
import secrets

from appliance.errors import Conflict, InvalidRequest, NotFound, Unauthorized
from appliance.state import keys as key_rows
from appliance.state.database import Database

DEFAULT_TENANT = "default"


def create_key(db: Database, name: str, tenant: str = DEFAULT_TENANT) -> str:
    """Create a key for ``tenant``, and the tenant if there is none. Returns the key; only its hash is stored.

    Raises InvalidRequest for a bad name, Conflict if a live key has this name.
    """
    for what, text in (("name", name), ("tenant", tenant)):
        if not 1 <= len(text) <= 100 or not text.isprintable():
            raise InvalidRequest(f"{what}: must be 1 to 100 printable characters.")
    key = f"ak_{secrets.token_urlsafe(32)}"
    with db.transaction() as tx:
        if any(row.name == name and row.revoked_at is None for row in key_rows.list_keys(tx)):
            raise Conflict(f"There is a key named {name!r} already; revoke it first or choose another name.")
        key_rows.insert_key(tx, key_rows.ensure_tenant(tx, tenant), name, _hash(key))
    return key


def create_first_key(db: Database) -> str | None:
    """Create the key of the default tenant on the first start. Returns None if there is any key already."""
    return None if key_rows.list_keys(db) else create_key(db, DEFAULT_TENANT)


def revoke_key(db: Database, name: str) -> None:
    """Revoke the live key of this name. Raises NotFound."""
    with db.transaction() as tx:
        if not key_rows.revoke_key(tx, name):
            raise NotFound(f"There is no live key named {name!r}.")


def list_keys(db: Database) -> list[key_rows.ApiKey]:
    """Return every key without its secret."""
    return key_rows.list_keys(db)


def authenticate(db: Database, key: str | None) -> int:
    """Return the id of the tenant whose key this is. Raises Unauthorized.

    The key is looked up by its hash: it has 256 random bits, so a fast hash is enough and timing reveals nothing.
    """
    if not key:
        raise Unauthorized("The header X-API-Key is missing.")
    tenant_id = key_rows.tenant_of_key(db, _hash(key))
    if tenant_id is None:
        raise Unauthorized("The API key is unknown or was revoked.")
    return tenant_id


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
