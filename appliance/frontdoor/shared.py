"""Pieces of Caddy configuration that several routes use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.frontdoor.door import FrontDoor

PRIVATE_RANGES = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"]
_REQUEST_ID = "{http.request.header.X-Request-ID}"


def common_routes() -> list[dict]:
    """Routes that every request passes first: its id, what proxies claim about it, and what no response carries."""
    return [
        {
            "match": [{"not": [matches(_REQUEST_ID, "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]}],
            "handle": [{"handler": "headers", "request": {"set": {"X-Request-ID": ["{http.request.uuid}"]}}}],
        },
        {
            "match": [{"not": [matches("{http.request.header.X-Forwarded-Proto}", "^https?$")]}],
            "handle": [{"handler": "headers", "request": {"delete": ["X-Forwarded-Proto"]}}],
        },
        {"handle": [{"handler": "log_append", "key": "request_id", "value": _REQUEST_ID}]},
        *every_response(),
    ]


def every_response() -> list[dict]:
    """What every response carries, and what none does; errors leave the chain, so they pass this again."""
    return [{"handle": [response_headers({"X-Request-ID": [_REQUEST_ID]}, delete=["Server", "Via"])]}]


def cors_routes(door: FrontDoor) -> list[dict]:
    """What lets pages of the configured origins read storage's answers; nothing where there are none."""
    if not door.cors_origins:
        return []
    allow = {
        "Access-Control-Allow-Origin": ["{http.request.header.Origin}"],
        "Access-Control-Expose-Headers": ["ETag, X-Request-ID, Accept-Ranges, Content-Range, Content-Disposition"],
        "Vary": ["Origin"],
    }
    pages = origin_match(door)
    return [{"match": [bucket | pages for bucket in bucket_matches(door)], "handle": [response_headers(allow)]}]


def bucket_matches(door: FrontDoor) -> list[dict]:
    """Match the bucket and all in it, however the path is written.

    Caddy compares a path decoded and with its dots resolved; the second looks at what was sent.
    """
    sent = matches("{http.request.uri}", f"(?i)^/+{door.bucket}(?:[^a-z0-9-]|$)")
    return [{"path": [f"/{door.bucket}", f"/{door.bucket}/*"]}, sent]


def origin_match(door: FrontDoor) -> dict:
    """Matches requests from pages of the configured origins."""
    return {"header": {"Origin": list(door.cors_origins)}}


def matches(placeholder: str, pattern: str) -> dict:
    """Matches where the value of a placeholder fits a regular expression."""
    return {"vars_regexp": {placeholder: {"pattern": pattern}}}


def body_cap(max_bytes: int) -> list[dict]:
    """Routes that refuse bodies past the cap: a declared length at once, a chunked body when it gets there."""
    declared = "{http.request.header.Content-Length}"
    over = {"expression": f'{declared} != "" && int({declared}) > {max_bytes}'}
    return [
        {"match": [over], "handle": [refusal(413, "over the cap")]},
        {"handle": [{"handler": "request_body", "max_size": max_bytes}]},
    ]


def refusal(status: int, reason: str) -> dict:
    """Ends a request; the error routes render it, the log keeps the reason."""
    return {"handler": "error", "status_code": status, "error": reason}


def response_headers(setting: dict[str, list[str]], delete: list[str] | None = None) -> dict:
    """Sets response headers last, over what an upstream sent."""
    return {"handler": "headers", "response": {"deferred": True, "set": setting, "delete": delete or []}}
