"""Routes to the API: every request that is not for storage goes to the API's process, over its unix socket."""

from __future__ import annotations

from appliance.frontdoor.door import FrontDoor
from appliance.frontdoor.paths import BATCH_UPLOAD, BULK_ANNOTATIONS, BULK_BYTES, RAW_UPLOAD
from appliance.frontdoor.shared import body_cap

BODY_BYTES = 1024**2  # the API takes JSON; audio goes to storage, or to one of the two upload paths
FORM_BYTES = 1024**2  # room for the form around the files of a full batch


def api_routes(door: FrontDoor) -> list[dict]:
    """Return the routes to the API, which come last. Nothing is buffered: a body is passed on as it arrives."""
    transport = {
        "protocol": "http",
        "dial_timeout": "5s",
        "response_header_timeout": "120s",
        # gunicorn closes a connection if it refused a request before the request's body ended. A POST that the front
        # door sends over that connection at that moment is lost and cannot be sent again. A new connection over a
        # unix socket costs next to nothing.
        "keep_alive": {"enabled": False},
    }
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"unix/{door.api_socket.absolute()}"}],
        "transport": transport,
    }
    caps = {
        RAW_UPLOAD: door.max_upload_bytes,
        BATCH_UPLOAD: door.max_batch_bytes + FORM_BYTES,
        BULK_ANNOTATIONS: BULK_BYTES,
    }
    return [*(_upload(path, cap, proxy) for path, cap in caps.items()), *body_cap(BODY_BYTES), {"handle": [proxy]}]


def _upload(path: str, max_bytes: int, proxy: dict) -> dict:
    inner = [*body_cap(max_bytes), {"handle": [proxy]}]
    match = {"method": ["POST"], "path": [path]}
    return {"match": [match], "handle": [{"handler": "subroute", "routes": inner}], "terminal": True}
