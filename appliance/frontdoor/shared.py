"""Pieces of Caddy configuration that several routes use."""

from __future__ import annotations

from appliance.frontdoor.door import FrontDoor

OVER_THE_CAP = "over the cap"
NANOSECONDS = 1_000_000_000
_REQUEST_ID = "{http.request.header.X-Request-ID}"


def common_routes() -> list[dict]:
    """Return the routes that every request passes first.

    They set the request's id, remove an X-Forwarded-Proto that is not a scheme, and set what every response carries.
    """
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
    """Return the routes that add and remove response headers. Errors leave the chain, so they pass them again."""
    return [{"handle": [response_headers({"X-Request-ID": [_REQUEST_ID]}, delete=["Server", "Via"])]}]


def bucket_matches(door: FrontDoor) -> list[dict]:
    """Return matchers for the bucket and all in it, however the path is written.

    The first compares the path after Caddy decoded it and resolved its dots, the second the path as it was sent.
    """
    sent = matches("{http.request.uri}", f"(?i)^/+{door.bucket}(?:[^a-z0-9-]|$)")
    return [{"path": [f"/{door.bucket}", f"/{door.bucket}/*"]}, sent]


def matches(placeholder: str, pattern: str) -> dict:
    """Return a matcher for requests in which the value of a placeholder fits a regular expression."""
    return {"vars_regexp": {placeholder: {"pattern": pattern}}}


def body_cap(max_bytes: int, match: dict | None = None) -> list[dict]:
    """Return routes that refuse bodies over the cap: by the declared length at once, a chunked body at the cap.

    With ``match`` they do this only for the requests that it fits.
    """
    cap: dict = {"handle": [{"handler": "request_body", "max_size": max_bytes}]}
    return [
        {"match": [declares_more_than(max_bytes) | (match or {})], "handle": [refusal(413, OVER_THE_CAP)]},
        cap | ({"match": [match]} if match else {}),
    ]


def timeouts(pause_seconds: int, bytes_per_second: int) -> dict:
    """Return a handler that cuts off a client which is too slow.

    A request's body of n bytes may take ``pause_seconds`` + n / ``bytes_per_second``. Each piece of the response, of up
    to 32 KiB, may take ``pause_seconds``. The server's own idle timeouts would come before these, so caddy.py turns
    them off, and every route to a server sets its own.
    """
    pause = pause_seconds * NANOSECONDS
    # There is a write_min_rate, too, but it counts the time in which the API prepares its answer.
    return {"handler": "timeouts", "read_timeout": pause, "read_min_rate": bytes_per_second, "write_timeout": pause}


def declares_more_than(max_bytes: int) -> dict:
    """Return a matcher for requests whose Content-Length is over ``max_bytes``."""
    declared = "{http.request.header.Content-Length}"
    return {"expression": f'{declared} != "" && int({declared}) > {max_bytes}'}


def refusal(status: int, reason: str) -> dict:
    """Return a handler that ends a request. The error routes render the response, and the log keeps the reason."""
    return {"handler": "error", "status_code": status, "error": reason}


def response_headers(setting: dict[str, list[str]], delete: list[str] | None = None) -> dict:
    """Return a handler that sets response headers last, over those that an upstream sent."""
    return {"handler": "headers", "response": {"deferred": True, "set": setting, "delete": delete or []}}
