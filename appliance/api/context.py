"""What a view needs from its request: the box, the tenant, the origin that the client used."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, ExitStack

from flask import current_app, g, request
from structlog.contextvars import bind_contextvars

from appliance.api.access import SLOW_CALLS, scope_of
from appliance.errors import Forbidden, InvalidRequest, Unauthorized
from appliance.services import keys, sessions
from appliance.services.box import Box
from appliance.services.datasets.similarity import Similarity
from appliance.services.inference.kept_scores import ScoreShelf
from appliance.services.keys import LastUses
from appliance.services.slots import FairSlots
from appliance.state.keys import ApiKey

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")


def box() -> Box:
    """Return the box that this app serves."""
    served: Box = current_app.extensions["box"]
    return served


def similarity() -> Similarity:
    """Return the search of this process."""
    search: Similarity = current_app.extensions["similarity"]
    return search


def score_shelf() -> ScoreShelf:
    """Return the kept scores that this process holds."""
    held: ScoreShelf = current_app.extensions["score_shelf"]
    return held


def require_key() -> None:
    """Find the tenant of the request by the key in X-API-Key, or by the session of the console.

    Raises Unauthorized, TenantDisabled, ScopeMissing, and Forbidden if another site may have made a change.
    """
    _require(request.headers.get("X-API-Key"))


def require_authorization() -> None:
    """Find the tenant of the request by the key in Authorization, bare or as Bearer, or by the session of the console.

    Raises as ``require_key``.
    """
    header = request.headers.get("Authorization", "").strip()
    scheme, _, rest = header.partition(" ")
    key = rest.strip() if scheme.lower() == "bearer" else header
    if not key and session_token() is None:
        raise Unauthorized("The header Authorization is missing.")
    _require(key or None)


def require_either_key() -> None:
    """Find the tenant of the request by the key in X-API-Key or in Authorization. Raises as ``require_key``."""
    if "X-API-Key" in request.headers or "Authorization" not in request.headers:
        require_key()
    else:
        require_authorization()


def _require(sent: str | None) -> None:
    key = caller(sent)
    keys.require_scope(key, scope_of(request.method, str(request.endpoint)))
    last_uses: LastUses = current_app.extensions["last_uses"]
    last_uses.note(key)
    g.tenant_id, g.key_name = key.tenant_id, key.name
    bind_contextvars(actor=f"key {key.name}")
    if request.endpoint in SLOW_CALLS:
        _begin_slow_call()


def _begin_slow_call() -> None:
    """Hold a slot until the request ends, so that one tenant's slow calls leave threads to others.

    It is held before the body is parsed, which may take as long as the call itself. Raises TooManyCalls.
    """
    slots: FairSlots = current_app.extensions["slow_calls"]
    held = ExitStack()
    held.enter_context(slots.slot(tenant_id()))
    g.slow_call = held


def end_slow_call(_: BaseException | None = None) -> None:
    """Give the slot back, if the request holds one."""
    if held := g.pop("slow_call", None):
        held.close()


def caller(sent: str | None) -> ApiKey:
    """Return the live key that a client sent, or else that of its session. Raises as ``require_key``."""
    token = session_token()
    if sent is not None or token is None:
        return keys.authenticate(box().db, sent)
    require_same_origin()
    return sessions.authenticate(box().db, token).key


def session_token() -> str | None:
    """Return the token of the console's session that the browser sent, or None."""
    return request.cookies.get(session_cookie())


def session_cookie() -> str:
    """Return the name of the session's cookie. A browser takes a name with __Host- over https alone."""
    return "__Host-console" if request.scheme == "https" else "console"


def require_same_origin() -> None:
    """Raise Forbidden for a call that changes something, unless a page of this very origin made it.

    Browsers send a cookie with what other ports of this host ask for, too. Over http they send no Sec-Fetch-Site to a
    name in the LAN, but they send Origin.
    """
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    site = request.headers.get("Sec-Fetch-Site")
    own = site == "same-origin" if site is not None else _is_own(request.headers.get("Origin", ""))
    if not own:
        raise Forbidden("With a session, only pages of this origin may change something. Scripts send X-API-Key.")


def _is_own(origin: str) -> bool:
    scheme, separator, host = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and host == request.host


def upload_slot() -> AbstractContextManager[None]:
    """Hold one of the slots for uploads through the API, so that slow uploads do not use up its threads.

    Raises TooManyUploads.
    """
    slots: FairSlots = current_app.extensions["upload_slots"]
    return slots.slot(tenant_id())


def tenant_id() -> int:
    """Return the id of the tenant whose key came with the request."""
    return int(g.tenant_id)


def origin() -> str:
    """Return scheme, host and port for the client's URLs: those it used, or ``public_url``. Raises InvalidRequest."""
    if public_url := box().settings.public_url:
        return str(public_url).rstrip("/")
    if not HOST.fullmatch(request.host):
        raise InvalidRequest("The Host header is not a host name with an optional port.")
    return f"{request.scheme}://{request.host}"
