"""Where a client's URL may lead: to what the operator allows, and never to the appliance itself.

A client's URL makes this machine connect to any address that it names. So a name is resolved once, every address is
checked, and the connection goes to the address that was checked.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from appliance.errors import UrlRefused
from appliance.services.box import Box
from appliance.services.outbound.lookup import look_up_in_background

MAX_URL_LENGTH = 2000
DEFAULT_PORTS = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Destination:
    """An absolute URL in its parts. ``host`` is in small letters; ``target`` is the path with the query."""

    scheme: str
    host: str
    port: int
    target: str


@dataclass(frozen=True)
class Allowed:
    """What one setting of the operator allows: networks and host names. ``own_ports`` are those of the appliance."""

    setting: str
    networks: tuple[Network, ...]
    own_ports: frozenset[int]
    names: frozenset[str] = frozenset()


def own_ports(box: Box) -> frozenset[int]:
    """Return the ports on which the appliance itself listens."""
    return frozenset({box.settings.port, box.settings.tls_redirect_port, *box.objects.local_ports} - {0})


def parse_url(url: str) -> Destination:
    """Split an absolute http or https URL into its parts. Raises UrlRefused."""
    if not re.fullmatch(r"[!-~]+", url) or len(url) > MAX_URL_LENGTH:
        raise UrlRefused(f"Must be up to {MAX_URL_LENGTH} printable ASCII characters without spaces.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UrlRefused(f"Is not a valid URL: {error}.") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise UrlRefused("Must begin with http:// or https://.")
    if not parts.hostname:
        raise UrlRefused("Names no host.")
    if "@" in parts.netloc:
        raise UrlRefused("Must not hold a user name or a password.")
    if port == 0:
        raise UrlRefused("Port 0 cannot be called.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme], target)


def resolve(
    allowed: Allowed, destination: Destination, lookup: Callable[[str, int], list[str]] = look_up_in_background
) -> str:
    """Return the first address of the host that may be connected to. Raises UrlRefused if there is none.

    It is a NameUnresolved if the host has no address now.
    """
    address = _address_of(destination.host)
    addresses = [address] if address else map(ipaddress.ip_address, lookup(destination.host, destination.port))
    refusal: UrlRefused | None = None
    for address in addresses:
        try:
            check_address(allowed, destination, address)
            return str(address)
        except UrlRefused as error:
            refusal = error
    raise refusal or UrlRefused(f"The name {destination.host} has no address.")


def check_address(allowed: Allowed, destination: Destination, address: Address) -> None:
    """Raise UrlRefused if the operator does not allow the address, or if it is the appliance itself."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    is_listed = any(_contains(network, address) for network in allowed.networks)
    is_named = destination.host.rstrip(".") in allowed.names and not (address.is_loopback or address.is_link_local)
    if address.is_unspecified or address.is_multicast or not (is_listed or is_named):
        raise UrlRefused(f"The address {address} is not allowed by the setting {allowed.setting}.")
    if destination.port in allowed.own_ports and _is_ours(address):
        raise UrlRefused(f"Port {destination.port} of {address} belongs to the appliance itself.")


def _contains(network: Network, address: Address) -> bool:
    # 0.0.0.0/0 allows the internet, but not this machine nor its link-local network: those must be listed themselves.
    is_special_allowed = network.is_loopback >= address.is_loopback and network.is_link_local >= address.is_link_local
    return address in network and is_special_allowed


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
