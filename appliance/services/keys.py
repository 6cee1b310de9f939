"""API keys: made, listed, revoked, recognised."""

from __future__ import annotations

import hashlib
import secrets

from appliance.errors import Conflict, InvalidRequest, NotFound, Unauthorized
from appliance.state import keys
from appliance.state.database import Database

DEFAULT_TENANT = "default"


def create_key(db: Database, name: str, tenant: str = DEFAULT_TENANT) -> str:
    """Make a key for ``tenant``, made too where there is none. The key is returned once and kept as a hash.

    Raises InvalidRequest for a bad name, Conflict where a live key has it.
    """
    for what, text in (("name", name), ("tenant", tenant)):
        if not 1 <= len(text) <= 100 or not text.isprintable():
            raise InvalidRequest(f"{what}: must be 1 to 100 printable characters.")
    key = f"ak_{secrets.token_urlsafe(32)}"
    with db.transaction():
        if any(k.name == name and k.revoked_at is None for k in keys.list_keys(db)):
            raise Conflict(f"There is a key named {name!r} already; revoke it first or choose another name.")
        keys.insert_key(db, keys.ensure_tenant(db, tenant), name, _hash(key))
    return key


def create_first_key(db: Database) -> str | None:
    """On the first start, the key of the default tenant; None where there is any key."""
    return None if keys.list_keys(db) else create_key(db, DEFAULT_TENANT)


def revoke_key(db: Database, name: str) -> None:
    """Revoke the live key of this name. Raises NotFound."""
    with db.transaction():
        if not keys.revoke_key(db, name):
            raise NotFound(f"There is no live key named {name!r}.")


def list_keys(db: Database) -> list[keys.ApiKey]:
    """Every key without its secret."""
    return keys.list_keys(db)


def authenticate(db: Database, key: str | None) -> int:
    """The tenant's id. Raises Unauthorized.

    The key is looked up by its hash: it has 256 random bits, so a fast hash is enough and nothing can be timed.
    """
    if not key:
        raise Unauthorized("The header X-API-Key is missing.")
    tenant_id = keys.tenant_of_key(db, _hash(key))
    if tenant_id is None:
        raise Unauthorized("The API key is not known here, or it was revoked.")
    return tenant_id


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
