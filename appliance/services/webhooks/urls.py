"""Which callback URLs may be called: those in the networks that the operator allows, and never the appliance itself.

A client's URL makes this machine connect to any address that it names. So a name is resolved once, every address is
checked, and the connection goes to the address that was checked.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from appliance.errors import CallbackRefused, InvalidRequest
from appliance.services.box import Box

MAX_URL_LENGTH = 2000
DEFAULT_PORTS = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Callback:
    """A callback URL in its parts; ``target`` is the path with the query."""

    scheme: str
    host: str
    port: int
    target: str


def check_callback(box: Box, url: str | None, field: str) -> None:
    """Raise InvalidRequest naming ``field`` if the URL is invalid, or names an address that may not be called."""
    if url is None:
        return
    try:
        callback = parse_callback(url)
        if address := _address_of(callback.host):
            check_address(box, address, callback.port)
    except CallbackRefused as error:
        raise InvalidRequest(f"{field}: {error}") from error


def parse_callback(url: str) -> Callback:
    """Split an absolute http or https URL into its parts. Raises CallbackRefused."""
    if not re.fullmatch(r"[!-~]+", url) or len(url) > MAX_URL_LENGTH:
        raise CallbackRefused(f"Must be up to {MAX_URL_LENGTH} printable ASCII characters without spaces.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise CallbackRefused(f"Is not a valid URL: {error}.") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise CallbackRefused("Must begin with http:// or https://.")
    if not parts.hostname:
        raise CallbackRefused("Names no host.")
    if "@" in parts.netloc:
        raise CallbackRefused("Must not hold a user name or a password.")
    if port == 0:
        raise CallbackRefused("Port 0 cannot be called.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Callback(parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme], target)


def resolve(box: Box, callback: Callback) -> str:
    """Return the address to connect to. Raises CallbackRefused if the host has none that may be called."""
    try:
        addresses = socket.getaddrinfo(callback.host, callback.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CallbackRefused(f"The name {callback.host} does not resolve: {error}.") from error
    refusal: CallbackRefused | None = None
    for *_, place in addresses:
        try:
            check_address(box, ipaddress.ip_address(place[0]), callback.port)
            return str(place[0])
        except CallbackRefused as error:
            refusal = error
    raise refusal or CallbackRefused(f"The name {callback.host} has no address.")


def check_address(box: Box, address: Address, port: int) -> None:
    """Raise CallbackRefused if an address is in none of the allowed networks, or is the appliance itself."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    networks = map(ipaddress.ip_network, box.settings.webhook_networks)
    if address.is_unspecified or address.is_multicast or not any(_contains(network, address) for network in networks):
        raise CallbackRefused(f"The address {address} is in none of the networks of the setting webhook_networks.")
    if port in _own_ports(box) and _is_ours(address):
        raise CallbackRefused(f"Port {port} of {address} belongs to the appliance itself.")


def _contains(network: ipaddress.IPv4Network | ipaddress.IPv6Network, address: Address) -> bool:
    # 0.0.0.0/0 allows the internet, but not this machine nor its link-local network: those must be listed themselves.
    is_special_allowed = network.is_loopback >= address.is_loopback and network.is_link_local >= address.is_link_local
    return address in network and is_special_allowed


def _own_ports(box: Box) -> set[int]:
    return {box.settings.port, *box.objects.local_ports}


def _is_ours(address: Address) -> bool:
    """Whether this machine has the address: only then can a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _address_of(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
