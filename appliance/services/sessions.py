"""Sessions of the console: a token stands for the key that signed in, until the key or the time is over."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from appliance.errors import Unauthorized
from appliance.services import keys
from appliance.state import sessions as session_rows
from appliance.state.database import Database
from appliance.state.keys import ApiKey

IDLE_SECONDS = 8 * 3600.0
LONGEST_SECONDS = 24 * 3600.0
_USE_SECONDS = 60.0  # the time of the last use is as exact as this


@dataclass(frozen=True)
class SignedIn:
    """The live key of a session, and the time at which the session ends at the latest."""

    key: ApiKey
    ends_at: float


def open_session(db: Database, key: str) -> str:
    """Sign in with a key. Returns the token; only its hash is stored. Raises Unauthorized, TenantDisabled."""
    row = keys.authenticate(db, key)
    token = secrets.token_urlsafe(32)
    with db.transaction() as tx:
        session_rows.delete_older(tx, LONGEST_SECONDS)
        session_rows.insert_session(tx, row.id, _hash(token))
    return token


def authenticate(db: Database, token: str) -> SignedIn:
    """Return the live key of a session and note its use. Raises Unauthorized, TenantDisabled."""
    session = session_rows.find_by_hash(db, _hash(token))
    if session is None or session.age_seconds >= LONGEST_SECONDS or session.idle_seconds >= IDLE_SECONDS:
        raise Unauthorized("The session is over. Sign in again.")
    key = keys.find_live(db, session.key_hash)
    if session.idle_seconds >= _USE_SECONDS:
        with db.transaction() as tx:
            session_rows.note_use(tx, session.id)
    return SignedIn(key, session.created_at + LONGEST_SECONDS)


def close_session(db: Database, token: str) -> None:
    """Sign out. A token that is unknown is no error."""
    with db.transaction() as tx:
        session_rows.delete_session(tx, _hash(token))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
