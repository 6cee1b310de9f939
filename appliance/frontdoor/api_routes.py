"""Routes to the API: every request that is not for storage goes to the API's process, over its unix socket."""

from __future__ import annotations

from appliance.frontdoor.door import FrontDoor
from appliance.frontdoor.paths import (
    BATCH_UPLOAD,
    BULK_ANNOTATIONS,
    BULK_BYTES,
    FORM_BYTES,
    MODEL_UPLOAD,
    RAW_UPLOAD,
)
from appliance.frontdoor.shared import body_cap, timeouts

BODY_BYTES = 1024**2  # the API takes JSON; audio goes to storage, or to one of the two upload paths
JSON_LIMITS = (30, 32 * 1024)  # pause in seconds and bytes per second: a body of 1 MiB may take 62 s
ANSWER_SECONDS = 120
UPLOAD_LIMITS = (300, 8 * 1024)  # a file of 500 MiB may take 18 h


def api_routes(door: FrontDoor) -> list[dict]:
    """Return the routes to the API, which come last.

    A file is passed on as it arrives. Any other body is passed on when it is complete, so that a slow client holds no
    thread of the API.
    """
    streamed = {RAW_UPLOAD: door.max_upload_bytes, BATCH_UPLOAD: door.max_batch_bytes + FORM_BYTES}
    return [
        *(_post(path, _streamed(door, cap)) for path, cap in streamed.items()),
        _post(MODEL_UPLOAD, _streamed(door, door.max_model_bytes + FORM_BYTES, door.model_check_seconds)),
        _post(BULK_ANNOTATIONS, _complete(door, BULK_BYTES)),
        *_complete(door, BODY_BYTES),
    ]


def _post(path: str, routes: list[dict]) -> dict:
    match = {"method": ["POST"], "path": [path]}
    return {"match": [match], "handle": [{"handler": "subroute", "routes": routes}], "terminal": True}


def _streamed(door: FrontDoor, max_bytes: int, check_seconds: int = 0) -> list[dict]:
    return [*body_cap(max_bytes), {"handle": [timeouts(*UPLOAD_LIMITS), _proxy(door, check_seconds)]}]


def _complete(door: FrontDoor, max_bytes: int) -> list[dict]:
    buffered = _proxy(door) | {"request_buffers": max_bytes}
    return [*body_cap(max_bytes), {"handle": [timeouts(*JSON_LIMITS), buffered]}]


def _proxy(door: FrontDoor, check_seconds: int = 0) -> dict:
    transport = {
        "protocol": "http",
        "dial_timeout": "5s",
        "response_header_timeout": f"{ANSWER_SECONDS + check_seconds}s",
        # gunicorn closes a connection if it refused a request before the request's body ended. A POST that the front
        # door sends over that connection at that moment is lost and cannot be sent again. A new connection over a
        # unix socket costs next to nothing.
        "keep_alive": {"enabled": False},
    }
    upstream = {"dial": f"unix/{door.api_socket.absolute()}"}
    return {"handler": "reverse_proxy", "upstreams": [upstream], "transport": transport}
