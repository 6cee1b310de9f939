"""Ports that are chosen for a server before it starts: nobody else may get them meanwhile."""

from __future__ import annotations

import socket

import pytest

from appliance.storage.local_server import free_ports
from appliance.supervisor.ports import is_free, reserve_port


def assert_reserved(port: int) -> None:
    """Fail unless only a server that is told to listen on a port gets it."""
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    assert is_free("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free("127.0.0.1", port)
    assert is_free("127.0.0.1", port)


def test_the_ports_of_storage_stay_reserved() -> None:
    ports = free_ports(3)
    assert len({*ports}) == 3
    for port in ports:
        assert_reserved(port)


def test_the_port_of_the_front_door_stays_reserved() -> None:
    with reserve_port("127.0.0.1") as reserved:
        assert_reserved(reserved.getsockname()[1])
