"""Where a client's URL may lead, and how long a name may take to resolve."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.config import Settings
from appliance.errors import UrlRefused
from appliance.services.outbound import lookup
from appliance.services.outbound.addresses import Allowed, parse_url, resolve
from appliance.services.outbound.lookup import LOOKUPS, look_up_soon
from tests.support.appliances import PATIENCE_SECONDS

DEFAULT = Settings.model_fields["webhook_networks"].default
EVERYTHING = ["0.0.0.0/0", "::/0"]


def allowing(networks: list[str], *own_ports: int, names: tuple[str, ...] = ()) -> Allowed:
    return Allowed("a_setting", tuple(map(ipaddress.ip_network, networks)), frozenset(own_ports), frozenset(names))


def refused(allowed: Allowed, url: str) -> bool:
    try:
        resolve(allowed, parse_url(url))
    except UrlRefused:
        return True
    return False


@pytest.mark.parametrize("address", ["10.1.2.3", "172.16.0.9", "172.31.255.255", "192.168.1.1", "[fd00::1]"])
def test_private_addresses_are_called(address: str) -> None:
    assert resolve(allowing(DEFAULT), parse_url(f"http://{address}:9/a")) == address.strip("[]")


FORBIDDEN = ["127.0.0.1", "127.8.9.1", "[::1]", "169.254.169.254", "[fe80::1]", "0.0.0.0", "[::]", "224.0.0.1"]
DISGUISED = ["[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "2130706433", "127.1", "0x7f.1", "localhost"]
PUBLIC = ["8.8.8.8", "[2001:4860:4860::8888]", "172.32.0.1", "100.64.0.1", "[::ffff:8.8.8.8]"]


@pytest.mark.parametrize("address", FORBIDDEN + DISGUISED + PUBLIC)
def test_what_is_not_listed_is_refused(address: str) -> None:
    assert refused(allowing(DEFAULT), f"http://{address}:9/a")


@pytest.mark.parametrize("address", FORBIDDEN + DISGUISED)
def test_a_network_of_everything_opens_neither_this_machine_nor_its_link(address: str) -> None:
    assert refused(allowing(EVERYTHING), f"http://{address}:9/a")


@pytest.mark.parametrize("address", ["8.8.8.8", "[2001:4860:4860::8888]"])
def test_a_network_of_everything_opens_the_internet(address: str) -> None:
    assert not refused(allowing(EVERYTHING), f"http://{address}:9/a")


def test_own_ports_are_refused_on_every_address_of_this_machine() -> None:
    allowed = allowing(["127.0.0.0/8", "10.0.0.0/8"], 8080, 9000)
    for port in (8080, 9000):
        assert refused(allowed, f"http://127.0.0.1:{port}/a")
        assert refused(allowed, f"http://127.0.0.2:{port}/a")
        assert not refused(allowed, f"http://10.255.255.254:{port}/a")  # another machine's
    assert not refused(allowed, "http://127.0.0.1:9001/a")


def test_a_name_with_one_address_that_may_be_called_leads_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", (address, port)) for address in ("127.0.0.1", "10.0.0.7")]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert resolve(allowing(DEFAULT), parse_url("https://here.example/a")) == "10.0.0.7"
    assert asked == ["here.example"]


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name resolve to these addresses."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: [(0, 0, 0, "", (at, port)) for at in addresses])


@pytest.mark.parametrize(
    ("host", "address", "allowed"),
    [
        ("nas.example", "10.0.0.7", True),
        ("NAS.Example", "10.0.0.7", True),
        ("nas.example.", "10.0.0.7", True),
        ("nas.example", "203.0.113.7", True),
        ("nas.example", "127.0.0.1", False),  # loopback and link-local must be listed as networks
        ("nas.example", "169.254.169.254", False),
        ("nas.example", "0.0.0.0", False),
        ("evil.nas.example", "10.0.0.7", False),
        ("nas.example.evil", "10.0.0.7", False),
    ],
)
def test_a_listed_name_leads_anywhere_but_to_this_machine(
    monkeypatch: pytest.MonkeyPatch, host: str, address: str, allowed: bool
) -> None:
    resolving(monkeypatch, address)
    assert refused(allowing([], names=("nas.example",)), f"http://{host}/a") != allowed


def test_a_listed_name_does_not_open_its_address_to_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "10.0.0.7")
    assert refused(allowing([], names=("nas.example",)), "http://10.0.0.7/a")


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let every lookup hang until the event is set, which happens after the test, and wait only a little for it."""
    free = threading.Event()

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        free.wait(PATIENCE_SECONDS)
        return [(0, 0, 0, "", ("10.0.0.7", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(lookup, "LOOKUP_SECONDS", 0.3)
    monkeypatch.setattr(lookup, "SLOT_SECONDS", 0.1)
    monkeypatch.setattr(lookup, "_slots", threading.BoundedSemaphore(LOOKUPS))
    yield free
    free.set()


def test_a_lookup_that_hangs_is_left(hanging: threading.Event) -> None:
    with pytest.raises(UrlRefused, match=r"does not resolve now: no answer within 0\.3 s"):
        look_up_soon("slow.example", 80)
    assert not hanging.is_set()


def test_lookups_that_hang_hold_only_a_few_threads(hanging: threading.Event) -> None:
    for _ in range(LOOKUPS):
        with pytest.raises(UrlRefused, match="no answer"):
            look_up_soon("slow.example", 80)
    num_threads = threading.active_count()
    for _ in range(3):
        with pytest.raises(UrlRefused, match="other names are waiting"):
            look_up_soon("slow.example", 80)
    assert threading.active_count() == num_threads
    hanging.set()
    assert look_up_soon("quick.example", 80) == ["10.0.0.7"]


def test_a_name_that_does_not_resolve_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(UrlRefused, match=r"nowhere\.example does not resolve now: .*Name or service not known"):
        look_up_soon("nowhere.example", 80)


def test_slow_names_of_webhooks_take_no_slot_from_requests(hanging: threading.Event) -> None:
    for _ in range(LOOKUPS):
        with pytest.raises(UrlRefused, match="no answer"):
            resolve(allowing(EVERYTHING), parse_url("http://slow.example/a"))
    hanging.set()
    assert look_up_soon("quick.example", 80) == ["10.0.0.7"]
