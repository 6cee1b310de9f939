"""What a view needs of its request: the box, the tenant, the origin that the client used."""

from __future__ import annotations

import re

from flask import current_app, g, request

from appliance.errors import InvalidRequest
from appliance.services import keys
from appliance.services.box import Box
from appliance.services.similarity import Similarity

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")


def box() -> Box:
    """The appliance that this app serves."""
    found: Box = current_app.extensions["box"]
    return found


def similarity() -> Similarity:
    """The search of this process."""
    found: Similarity = current_app.extensions["similarity"]
    return found


def require_key() -> None:
    """Before a request: find the tenant by its API key. Raises Unauthorized."""
    g.tenant_id = keys.authenticate(box().db, request.headers.get("X-API-Key"))


def tenant_id() -> int:
    """The tenant whose key came with the request."""
    return int(g.tenant_id)


def origin() -> str:
    """Scheme, host and port for URLs that the client is to use: its own, or ``public_url``. Raises InvalidRequest."""
    if public_url := box().settings.public_url:
        return str(public_url).rstrip("/")
    if not HOST.fullmatch(request.host):
        raise InvalidRequest("The Host header is not a host name with a port.")
    return f"{request.scheme}://{request.host}"
