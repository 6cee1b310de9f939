"""Which callback URLs may be called: those in the networks that the operator allows, and never the appliance itself."""

from __future__ import annotations

import ipaddress

from appliance.errors import InvalidRequest, UrlRefused
from appliance.services.box import Box
from appliance.services.outbound.addresses import Allowed, own_ports, parse_url, resolve
from appliance.services.outbound.lookup import look_up_soon


def check_callback(box: Box, url: str | None, field: str) -> None:
    """Raise InvalidRequest naming ``field`` if the URL is invalid, or if none of its addresses may be called now.

    Each attempt to deliver checks again: by then the name can lead elsewhere.
    """
    if url is None:
        return
    try:
        resolve(allowed_callbacks(box), parse_url(url), look_up_soon)
    except UrlRefused as error:
        raise InvalidRequest(f"{field}: {error}") from error


def allowed_callbacks(box: Box) -> Allowed:
    """Return where webhooks may go."""
    networks = tuple(map(ipaddress.ip_network, box.settings.webhook_networks))
    return Allowed("webhook_networks", networks, own_ports(box))
