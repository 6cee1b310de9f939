"""What a view needs of its request: the box, the tenant, the origin that the client used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from flask import current_app, g, request

from appliance.errors import InvalidRequest, TooManyUploads, Unauthorized
from appliance.services import keys
from appliance.services.box import Box
from appliance.services.datasets.similarity import Similarity

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


def require_authorization() -> None:
    """Before a request of the speech doors: the key comes in Authorization, bare or as Bearer. Raises Unauthorized."""
    given = request.headers.get("Authorization", "").strip()
    scheme, _, rest = given.partition(" ")
    key = rest.strip() if scheme.lower() == "bearer" else given
    if not key:
        raise Unauthorized("The header Authorization is missing.")
    g.tenant_id = keys.authenticate(box().db, key)


def require_either_key() -> None:
    """Before a request: the key comes in X-API-Key, or in Authorization. Raises Unauthorized."""
    if "X-API-Key" in request.headers or "Authorization" not in request.headers:
        require_key()
    else:
        require_authorization()


@contextmanager
def upload_slot() -> Iterator[None]:
    """One of the uploads that are taken in at once: slow ones must not use up the API's threads.

    Raises TooManyUploads.
    """
    slots: BoundedSemaphore = current_app.extensions["upload_slots"]
    if not slots.acquire(blocking=False):
        raise TooManyUploads("As many uploads as are taken in at once are under way. Try again in a few seconds.")
    try:
        yield
    finally:
        slots.release()


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
