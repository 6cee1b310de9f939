"""Everything that is not storage goes to the API's process, over its unix socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.frontdoor.shared import body_cap

if TYPE_CHECKING:
    from appliance.frontdoor.door import FrontDoor

BODY_BYTES = 1024**2  # the API takes JSON; audio goes to storage, or by one of the two calls below
FORM_BYTES = 1024**2  # room for the form around files of the largest size
RAW_UPLOAD = "/v2/upload"
BATCH_UPLOAD = "/transcribe/files/upload"


def api_routes(door: FrontDoor) -> list[dict]:
    """The routes of the API, last of all. Nothing is buffered: a body passes as it arrives."""
    transport = {
        "protocol": "http",
        "dial_timeout": "5s",
        "response_header_timeout": "120s",
        # gunicorn closes a connection whose request it refused before its body ended; a POST that the door sends down
        # it at that moment is lost and cannot be sent again. A new connection over a unix socket costs next to nothing.
        "keep_alive": {"enabled": False},
    }
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"unix/{door.api_socket.absolute()}"}],
        "transport": transport,
    }
    caps = {RAW_UPLOAD: door.max_upload_bytes, BATCH_UPLOAD: door.max_batch_bytes + FORM_BYTES}
    return [*(_upload(path, cap, proxy) for path, cap in caps.items()), *body_cap(BODY_BYTES), {"handle": [proxy]}]


def _upload(path: str, max_bytes: int, proxy: dict) -> dict:
    inner = [*body_cap(max_bytes), {"handle": [proxy]}]
    match = {"method": ["POST"], "path": [path]}
    return {"match": [match], "handle": [{"handler": "subroute", "routes": inner}], "terminal": True}
