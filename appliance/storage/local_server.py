"""What the bundled storage servers share: loopback ports, a clean environment, health checks."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import urllib3

from appliance.storage.seam import connection_pool

# Other variables of the operator's shell could change the server: MINIO_…, WEED_…, AWS_…, proxies.
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_reserved: list[socket.socket] = []  # bound until this process ends, and not listening
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "GOMEMLIMIT", "GOMAXPROCS")


def free_ports(count: int) -> list[int]:
    """Return different loopback ports that nothing listens on, and that nobody else gets from this function.

    The kernel gives none of them to an outgoing connection. So a server that is restarted finds its port free, unless
    another program was told to listen there.
    """
    first, last = map(int, _EPHEMERAL.read_text().split())
    candidates = [port for port in range(10_000, 65_536) if not first <= port <= last]
    random.shuffle(candidates)
    ports: list[int] = []
    for port in [*candidates, *[0] * count]:  # 0 is any port, if all others are ephemeral or in use
        if len(ports) == count:
            break
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
            continue
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # from now on its server may bind it, too
        _reserved.append(probe)
        ports.append(probe.getsockname()[1])
    return ports


def child_environment(extra: dict[str, str]) -> dict[str, str]:
    """Return the few variables that a server needs of this process's environment, and ``extra``."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | extra


def all_healthy(urls: Iterable[str]) -> bool:
    """Return whether every URL responds with 200 within two seconds."""
    pool = _pool()
    try:
        return all(pool.request("GET", url).status == 200 for url in urls)
    except urllib3.exceptions.HTTPError:
        return False


@cache
def _pool() -> urllib3.PoolManager:
    return connection_pool(read_seconds=2.0, retries=0, connections=2)
