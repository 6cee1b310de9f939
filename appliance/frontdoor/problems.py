"""The front door's own errors, in the same form as the API's: problem+json, or ``{"error": …}`` below /v2/."""

from __future__ import annotations

import json
from http import HTTPStatus

from appliance.frontdoor.api_routes import BODY_BYTES
from appliance.frontdoor.door import FrontDoor
from appliance.frontdoor.paths import BATCH_UPLOAD, PLAIN_ERRORS, RAW_UPLOAD
from appliance.frontdoor.shared import bucket_matches, cors_routes

_RETRY_SECONDS = 5


def problem_routes(door: FrontDoor) -> list[dict]:
    """Return the routes that render an error by its status. The last one renders every status that no other names."""
    largest = f"The file is over the limit of {door.max_upload_bytes} bytes."
    batch = f"The files of a batch may have up to {door.max_batch_bytes} bytes together."
    body = f"The body of a request may have up to {BODY_BYTES} bytes."
    down = "A part of the appliance does not respond. Try again in a few seconds."
    return [
        *cors_routes(door),
        # Because there are error routes, Caddy logs the cause of an error at debug level only; this adds it.
        {"handle": [{"handler": "log_append", "key": "reason", "value": "{http.error.message}"}]},
        *(_problem(413, "file_too_large", largest, _status("413") | bucket) for bucket in bucket_matches(door)),
        _problem(413, "file_too_large", batch, _status("413") | {"path": [BATCH_UPLOAD]}),
        _plain(413, largest, _status("413") | {"path": [RAW_UPLOAD]}),
        *_both(413, "request_too_large", body, _status("413")),
        *_both(403, "forbidden", "Storage accepts only upload forms and presigned URLs.", _status("403")),
        *_both(400, "invalid_request", "The request is malformed.", _status("400")),
        *_both(503, "service_unavailable", down, _status("502", "503", "504")),
        *_both(500, "internal_error", "The front door failed.", {}),
    ]


def _status(*codes: str) -> dict:
    return {"vars": {"{http.error.status_code}": list(codes)}}


def _both(status: int, code: str, detail: str, match: dict) -> list[dict]:
    """Return the routes of one error: first for clients that read ``{"error": …}``, then for all others."""
    return [_plain(status, detail, match | {"path": [f"{PLAIN_ERRORS}*"]}), _problem(status, code, detail, match)]


def _plain(status: int, detail: str, match: dict) -> dict:
    return _response(status, "application/json", {"error": detail}, match)


def _problem(status: int, code: str, detail: str, match: dict) -> dict:
    title = HTTPStatus(status).phrase if status != 413 else "Content Too Large"
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    return _response(status, "application/problem+json", problem, match)


def _response(status: int, media_type: str, content: dict, match: dict) -> dict:
    headers = {"Content-Type": [media_type], "Cache-Control": ["no-store"]}
    if status == 503:
        headers["Retry-After"] = [str(_RETRY_SECONDS)]
    # Caddy reads {name} as a placeholder, so the braces of the JSON are escaped.
    body = json.dumps(content).replace("{", "\\{").replace("}", "\\}")
    route: dict = {
        "handle": [{"handler": "static_response", "status_code": status, "headers": headers, "body": body}],
        "terminal": True,
    }
    return {"match": [match], **route} if match else route
