"""Ports to listen on, and the names of this machine."""

from __future__ import annotations

import socket
from contextlib import suppress


def free_port(host: str) -> int:
    """Return a port of ``host`` that nothing listens on now. Raises OSError if this machine has no such address."""
    with reserve_port(host) as probe:
        port: int = probe.getsockname()[1]
        return port


def reserve_port(host: str) -> socket.socket:
    """Return a socket that is bound to a port of ``host`` that nobody uses, and does not listen.

    As long as it is open, the kernel gives that port to no program that takes any; who is told to listen there can.
    Raises OSError if this machine has no such address.
    """
    return _bound(host, 0)


def is_free(host: str, port: int) -> bool:
    """Return whether this process may listen on this port."""
    try:
        _bound(host, port).close()
    except OSError:
        return False
    return True


def own_names(host: str) -> tuple[str, ...]:
    """Return the names and addresses by which clients may know this machine, if it listens on ``host``."""
    names = {socket.gethostname(), "localhost", "127.0.0.1", "::1"}
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        # Nothing is sent: this asks only from which address this machine would send.
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            names.add(str(probe.getsockname()[0]))
    if host not in ("0.0.0.0", "::"):
        names.add(host)
    return tuple(sorted(names))


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    probe = socket.socket(family, kind, protocol)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(address)
    except OSError:
        probe.close()
        raise
    return probe
