"""API keys: create, list, revoke, authenticate. A key has scopes, and may expire."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Literal, get_args

import structlog

from appliance.errors import (
    ApplianceError,
    Conflict,
    InvalidRequest,
    NotFound,
    ScopeMissing,
    TenantDisabled,
    Unauthorized,
)
from appliance.rfc3339 import rfc3339
from appliance.services import audit
from appliance.state import keys as key_rows
from appliance.state.database import Database, Reader
from appliance.state.keys import ApiKey
from appliance.state.tenants import ensure_tenant

log = structlog.get_logger()

Scope = Literal["read", "write", "admin", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES: tuple[Scope, ...] = ("read", "write")
DEFAULT_TENANT = "default"
LONGEST_EXPIRY_DAYS = 36_500
LONGEST_OVERLAP_HOURS = 24 * 90
LAST_USE_SECONDS = 60.0


def create_key(
    db: Database,
    name: str,
    tenant: str = DEFAULT_TENANT,
    scopes: Collection[str] = DEFAULT_SCOPES,
    expires_days: float | None = None,
) -> str:
    """Create a key for ``tenant``, and the tenant if there is none. Returns the key; only its hash is stored.

    A key without ``expires_days`` never expires. Raises InvalidRequest for a bad name, scope or expiry, Conflict if a
    key that is not revoked has this name.
    """
    check_name("name", name)
    check_name("tenant", tenant)
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidRequest(f"scopes: must be one or more of {', '.join(SCOPES)}.")
    if expires_days is not None and not 0 < expires_days <= LONGEST_EXPIRY_DAYS:
        raise InvalidRequest(f"expires_days: must be over 0 and up to {LONGEST_EXPIRY_DAYS}.")
    key = _new_secret()
    ordered = [scope for scope in SCOPES if scope in scopes]
    seconds = None if expires_days is None else expires_days * 86_400
    with db.transaction() as tx:
        if any(row.name == name and row.revoked_at is None for row in key_rows.list_keys(tx)):
            raise Conflict(f"There is a key named {name!r} already; revoke it first or choose another name.")
        key_rows.insert_key(tx, ensure_tenant(tx, tenant), name, _hash(key), ordered, seconds)
        audit.note(tx, "key created", f"{name}, of the tenant {tenant}, for {' '.join(ordered)}")
    return key


def create_first_key(db: Database) -> str | None:
    """Create the key of the default tenant on the first start. Returns None if there is any key already."""
    return None if key_rows.list_keys(db) else create_key(db, DEFAULT_TENANT)


def find_key(db: Database, name: str) -> ApiKey:
    """Return the key of this name that is not revoked. Raises NotFound."""
    for key in key_rows.list_keys(db):
        if key.name == name and key.revoked_at is None:
            return key
    raise NotFound(f"There is no live key named {name!r}.")


def revoke_key(db: Database, key_id: int, *, keep_administrator: bool) -> None:
    """Revoke a key. Raises NotFound if there is none of this id, or it is revoked.

    With ``keep_administrator`` it raises Conflict if no other live key has the scope admin.
    """
    with db.transaction() as tx:
        if keep_administrator and [key.id for key in key_rows.live_administrators(tx)] == [key_id]:
            raise Conflict(
                "This is the last key with the scope admin. Create another one first, or run `appliance keys revoke` "
                "on the appliance itself."
            )
        if not key_rows.revoke_key(tx, key_id):
            raise NotFound(f"There is no live key with the id {key_id}.")
        audit.note(tx, "key revoked", next(key.name for key in key_rows.list_keys(tx) if key.id == key_id))


def rotate_key(db: Database, key_id: int, overlap_hours: float) -> tuple[ApiKey, str]:
    """Create a key in the place of another one, which is let in for ``overlap_hours`` more. Returns it and its secret.

    The new one has the name, the tenant, the scopes and the expiry of the old one, whose name gets its id. An old key
    that expires sooner keeps its time. Raises NotFound if there is no live key of this id, InvalidRequest.
    """
    if not 0 <= overlap_hours <= LONGEST_OVERLAP_HOURS:
        raise InvalidRequest(f"overlap_hours: must be 0 to {LONGEST_OVERLAP_HOURS}.")
    secret = _new_secret()
    with db.transaction() as tx:
        old = _live(tx, key_id)
        seconds = None if old.expires_at is None else old.expires_at - time.time()
        suffix = f" (replaced, id {key_id})"
        key_rows.retire_key(tx, key_id, old.name[: 100 - len(suffix)] + suffix, overlap_hours * 3600)
        key_rows.insert_key(tx, old.tenant_id, old.name, _hash(secret), old.scopes, seconds)
        audit.note(tx, "key rotated", f"{old.name}; the old one is let in for {overlap_hours:g} hours")
    return find_key(db, old.name), secret


def _live(db: Reader, key_id: int) -> ApiKey:
    for key in key_rows.list_keys(db):
        if key.id == key_id and key.revoked_at is None and not key.is_expired:
            return key
    raise NotFound(f"There is no live key with the id {key_id}.")


def _new_secret() -> str:
    return f"ak_{secrets.token_urlsafe(32)}"


def list_keys(db: Database) -> list[ApiKey]:
    """Return every key without its secret."""
    return key_rows.list_keys(db)


def authenticate(db: Database, key: str | None) -> ApiKey:
    """Return the live key that a client sent. Raises Unauthorized, or TenantDisabled.

    The key is looked up by its hash: it has 256 random bits, so a fast hash is enough and timing reveals nothing.
    """
    if not key:
        raise Unauthorized("The header X-API-Key is missing.")
    return find_live(db, _hash(key))


def find_live(db: Database, key_hash: bytes) -> ApiKey:
    """Return the live key with this hash. Raises Unauthorized, or TenantDisabled."""
    row = key_rows.find_by_hash(db, key_hash)
    if row is None or row.revoked_at is not None:
        raise Unauthorized("The API key is unknown or was revoked.")
    if row.is_expired and row.expires_at is not None:
        raise Unauthorized(f"The API key expired at {rfc3339(row.expires_at)}. An administrator can create a new one.")
    if row.tenant_disabled_at is not None:
        raise TenantDisabled(f"The tenant {row.tenant} is disabled. An administrator can enable it.")
    return row


def require_scope(key: ApiKey, scope: Scope) -> None:
    """Raise ScopeMissing if the key may not make calls of this scope. The scope write includes read."""
    if scope not in key.scopes and not (scope == "read" and "write" in key.scopes):
        raise ScopeMissing(f"The API key has not the scope {scope}, which this call needs.")


def check_name(field: str, text: str) -> None:
    """Raise InvalidRequest if a name is empty, over 100 characters, or would garble a list."""
    if not 1 <= len(text) <= 100 or not text.isprintable():
        raise InvalidRequest(f"{field}: must be 1 to 100 printable characters.")


class LastUses:
    """Stores when keys were last used: at most once in ``every_seconds`` for each key.

    It writes on a thread of its own, so that no request waits for the database's lock.
    """

    def __init__(self, db: Database, every_seconds: float = LAST_USE_SECONDS) -> None:
        self._db = db
        self._every_seconds = every_seconds
        self._noted_at: dict[int, float] = {}
        self._lock = Lock()
        self._writer = ThreadPoolExecutor(1, "last-uses")

    def note(self, key: ApiKey) -> None:
        """Note that a key was used now."""
        now = time.monotonic()
        with self._lock:
            if now - self._noted_at.get(key.id, -self._every_seconds) < self._every_seconds:
                return
            self._noted_at[key.id] = now
        self._writer.submit(self._write, key.id)

    def close(self) -> None:
        """Wait until everything is stored."""
        self._writer.shutdown()

    def _write(self, key_id: int) -> None:
        try:
            with self._db.transaction() as tx:
                key_rows.note_use(tx, key_id)
        except ApplianceError as error:
            log.warning("the last use of a key was not stored", key_id=key_id, error=str(error))


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
