"""What a view needs from its request: the box, the tenant, the origin that the client used."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager

from flask import current_app, g, request

from appliance.api.access import scope_of
from appliance.api.slots import FairSlots
from appliance.errors import InvalidRequest, Unauthorized
from appliance.services import keys
from appliance.services.box import Box
from appliance.services.datasets.similarity import Similarity
from appliance.services.keys import LastUses

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")


def box() -> Box:
    """Return the box that this app serves."""
    served: Box = current_app.extensions["box"]
    return served


def similarity() -> Similarity:
    """Return the search of this process."""
    search: Similarity = current_app.extensions["similarity"]
    return search


def require_key() -> None:
    """Find the tenant of the request by the key in X-API-Key. Raises Unauthorized, TenantDisabled, ScopeMissing."""
    _require(request.headers.get("X-API-Key"))


def require_authorization() -> None:
    """Find the tenant of the request by the key in Authorization, bare or as Bearer. Raises as ``require_key``."""
    header = request.headers.get("Authorization", "").strip()
    scheme, _, rest = header.partition(" ")
    key = rest.strip() if scheme.lower() == "bearer" else header
    if not key:
        raise Unauthorized("The header Authorization is missing.")
    _require(key)


def require_either_key() -> None:
    """Find the tenant of the request by the key in X-API-Key or in Authorization. Raises as ``require_key``."""
    if "X-API-Key" in request.headers or "Authorization" not in request.headers:
        require_key()
    else:
        require_authorization()


def _require(sent: str | None) -> None:
    key = keys.authenticate(box().db, sent)
    keys.require_scope(key, scope_of(request.method, str(request.endpoint)))
    last_uses: LastUses = current_app.extensions["last_uses"]
    last_uses.note(key)
    g.tenant_id = key.tenant_id


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
