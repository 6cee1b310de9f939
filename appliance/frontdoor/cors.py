"""CORS: pages of the origins in ``cors_origins`` may call the API and storage. No page may send cookies."""

from __future__ import annotations

from appliance.frontdoor.door import FrontDoor
from appliance.frontdoor.shared import response_headers

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Range",
    "X-API-Key",
    "X-Request-ID",
    # The clients of two of the reference pages send these.
    "AssemblyAI-Agent",
    "User-Agent",
    "X-Invox-Medical-Api-Version",
)
_EXPOSED = "ETag, X-Request-ID, Retry-After, Accept-Ranges, Content-Range, Content-Disposition"
_MAX_AGE_SECONDS = 600


def cors_routes(door: FrontDoor) -> list[dict]:
    """Return the routes that let pages of the configured origins read every response, errors included."""
    if not door.cors_origins:
        return []
    if "*" in door.cors_origins:
        return [_allowed("*")]
    # Without Vary, a browser would show a page the copy that it cached from a request without an Origin.
    vary = {"handler": "headers", "response": {"deferred": True, "add": {"Vary": ["Origin"]}}}
    return [{"handle": [vary]}, {"match": [_from_pages(door)], **_allowed("{http.request.header.Origin}")}]


def preflight_routes(door: FrontDoor) -> list[dict]:
    """Return the route that answers a preflight. It comes before the API, which would ask for a key."""
    if not door.cors_origins:
        return []
    headers = {
        "Access-Control-Allow-Methods": [_METHODS],
        "Access-Control-Allow-Headers": [", ".join(_REQUEST_HEADERS)],
        "Access-Control-Max-Age": [str(_MAX_AGE_SECONDS)],
    }
    match = {"method": ["OPTIONS"], "header": {**_from_pages(door)["header"], "Access-Control-Request-Method": ["*"]}}
    response = {"handler": "static_response", "status_code": 204, "headers": headers}
    return [{"match": [match], "handle": [response], "terminal": True}]


def _from_pages(door: FrontDoor) -> dict:
    return {"header": {"Origin": list(door.cors_origins)}}


def _allowed(origin: str) -> dict:
    allow = {"Access-Control-Allow-Origin": [origin], "Access-Control-Expose-Headers": [_EXPOSED]}
    return {"handle": [response_headers(allow)]}
