"""The front door's own errors, as problem+json like those of the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from appliance.frontdoor.api_routes import BODY_BYTES
from appliance.frontdoor.shared import bucket_matches, cors_routes

if TYPE_CHECKING:
    from appliance.frontdoor.door import FrontDoor

_RETRY_SECONDS = 5


def problem_routes(door: FrontDoor) -> list[dict]:
    """Routes that render an error by its status; the last one takes what no other names."""
    largest = f"The file is over the limit of {door.max_upload_bytes} bytes."
    body = f"The body of a request may have {BODY_BYTES} bytes."
    down = "A part of the appliance does not answer. Try again in a few seconds."
    return [
        *cors_routes(door),
        # With error routes, Caddy logs the cause of an error for debugging only.
        {"handle": [{"handler": "log_append", "key": "reason", "value": "{http.error.message}"}]},
        *(
            _problem(413, "Content Too Large", "file_too_large", largest, match=_status("413") | bucket)
            for bucket in bucket_matches(door)
        ),
        _problem(413, "Content Too Large", "request_too_large", body, match=_status("413")),
        _problem(403, "Forbidden", "forbidden", "Storage takes upload forms and presigned URLs.", match=_status("403")),
        _problem(400, "Bad Request", "invalid_request", "The request is malformed.", match=_status("400")),
        _problem(503, "Service Unavailable", "service_unavailable", down, match=_status("502", "503", "504")),
        _problem(500, "Internal Server Error", "internal_error", "The front door failed.", match=None),
    ]


def _status(*codes: str) -> dict:
    return {"vars": {"{http.error.status_code}": list(codes)}}


def _problem(status: int, title: str, code: str, detail: str, *, match: dict | None) -> dict:
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    headers = {"Content-Type": ["application/problem+json"], "Cache-Control": ["no-store"]}
    if status == 503:
        headers["Retry-After"] = [str(_RETRY_SECONDS)]
    # Caddy reads {name} as a placeholder; escaped, the braces of the JSON stay as they are.
    body = json.dumps(problem).replace("{", "\\{").replace("}", "\\}")
    route: dict = {
        "handle": [{"handler": "static_response", "status_code": status, "headers": headers, "body": body}],
        "terminal": True,
    }
    return route if match is None else {"match": [match], **route}
