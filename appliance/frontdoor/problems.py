"""The front door's own errors, in the same form as the API's: problem+json, or ``{"error": …}`` below /v2/."""

from __future__ import annotations

import json

from appliance.errors import FileTooLarge, Forbidden, InvalidRequest
from appliance.frontdoor.api_routes import BODY_BYTES
from appliance.frontdoor.door import FrontDoor
from appliance.frontdoor.paths import (
    BATCH_UPLOAD,
    BULK_ANNOTATIONS,
    BULK_BYTES,
    MODEL_UPLOAD,
    PLAIN_ERRORS,
    RAW_UPLOAD,
)
from appliance.frontdoor.shared import bucket_matches
from appliance.frontdoor.storage_refusals import REFUSALS
from appliance.http_errors import (
    GATEWAY_TIMEOUT,
    INTERNAL_ERROR,
    REQUEST_TOO_LARGE,
    SERVICE_UNAVAILABLE,
    TITLES,
    HttpError,
    http_error_of,
)

_RETRY_SECONDS = {503: 5, 504: 5, 507: 60}


def problem_routes(door: FrontDoor) -> list[dict]:
    """Return the routes that render an error by its status. The last one renders every status that no other names."""
    largest = f"The file is over the limit of {door.max_upload_bytes} bytes."
    batch = f"The files of a batch may have up to {door.max_batch_bytes} bytes together."
    body = f"The body of a request may have up to {BODY_BYTES} bytes."
    bulk = f"The body of a request with many annotations may have up to {BULK_BYTES} bytes."
    model = f"The files of a model may have up to {door.max_model_bytes} bytes together."
    too_large = http_error_of(FileTooLarge)
    down = "A part of the appliance does not respond. Try again in a few seconds."
    late = "A part of the appliance did not respond in time. Try again in a few seconds."
    return [
        # Because there are error routes, Caddy logs the cause of an error at debug level only; this adds it.
        {"handle": [{"handler": "log_append", "key": "reason", "value": "{http.error.message}"}]},
        *(_problem(refused.error, refused.detail, _reason(refused.reason)) for refused in REFUSALS),
        *(_problem(too_large, largest, _status("413") | bucket) for bucket in bucket_matches(door)),
        _problem(too_large, batch, _status("413") | {"path": [BATCH_UPLOAD]}),
        _problem(too_large, model, _status("413") | {"path": [MODEL_UPLOAD]}),
        _plain(too_large, largest, _status("413") | {"path": [RAW_UPLOAD]}),
        _problem(REQUEST_TOO_LARGE, bulk, _status("413") | {"path": [BULK_ANNOTATIONS]}),
        *_both(REQUEST_TOO_LARGE, body, _status("413")),
        *_both(http_error_of(Forbidden), "Storage accepts only upload forms and presigned URLs.", _status("403")),
        *_both(http_error_of(InvalidRequest), "The request is malformed.", _status("400")),
        *_both(SERVICE_UNAVAILABLE, down, _status("502", "503")),
        *_both(GATEWAY_TIMEOUT, late, _status("504")),
        *_both(INTERNAL_ERROR, "The front door failed.", {}),
    ]


def _status(*codes: str) -> dict:
    return {"vars": {"{http.error.status_code}": list(codes)}}


def _reason(reason: str) -> dict:
    return {"vars": {"{http.error.message}": [reason]}}


def _both(error: HttpError, detail: str, match: dict) -> list[dict]:
    """Return the routes of one error: first for clients that read ``{"error": …}``, then for all others."""
    return [_plain(error, detail, match | {"path": [f"{PLAIN_ERRORS}*"]}), _problem(error, detail, match)]


def _plain(error: HttpError, detail: str, match: dict) -> dict:
    return _response(error.status, "application/json", {"error": detail}, match)


def _problem(error: HttpError, detail: str, match: dict) -> dict:
    title, code = TITLES[error.status], error.code
    problem = {"type": "about:blank", "title": title, "status": error.status, "detail": detail, "code": code}
    return _response(error.status, "application/problem+json", problem, match)


def _response(status: int, media_type: str, content: dict, match: dict) -> dict:
    headers = {"Content-Type": [media_type], "Cache-Control": ["no-store"]}
    if status in _RETRY_SECONDS:
        headers["Retry-After"] = [str(_RETRY_SECONDS[status])]
    # Caddy reads {name} as a placeholder, so the braces of the JSON are escaped.
    body = json.dumps(content).replace("{", "\\{").replace("}", "\\}")
    route: dict = {
        "handle": [{"handler": "static_response", "status_code": status, "headers": headers, "body": body}],
        "terminal": True,
    }
    return {"match": [match], **route} if match else route
