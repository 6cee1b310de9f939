"""Everything that is not storage goes to the API's process, over its unix socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.frontdoor.shared import body_cap

if TYPE_CHECKING:
    from appliance.frontdoor.door import FrontDoor

BODY_BYTES = 1024**2  # the API takes JSON; audio goes to storage


def api_routes(door: FrontDoor) -> list[dict]:
    """The routes of the API, last of all."""
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"unix/{door.api_socket.absolute()}"}],
        "transport": {"protocol": "http", "dial_timeout": "5s", "response_header_timeout": "120s"},
    }
    return [*body_cap(BODY_BYTES), {"handle": [proxy]}]
