"""One bounded POST to one address."""

from __future__ import annotations

from appliance.services.outbound.addresses import Destination
from appliance.services.outbound.connection import connected


def post(destination: Destination, address: str, body: bytes, headers: dict[str, str], seconds: float) -> int:
    """Post to ``address`` under the destination's host name and return the HTTP status.

    Raises RemoteFailed if there is no answer within ``seconds``.
    """
    with connected(destination, address, seconds) as remote:
        return remote.request("POST", headers, body).status
