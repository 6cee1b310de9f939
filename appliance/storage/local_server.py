"""What the bundled storage servers share: loopback ports, a clean environment, health checks."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cache

import urllib3

from appliance.storage.seam import connection_pool

# Other variables of the operator's shell could change the server: MINIO_…, WEED_…, AWS_…, proxies.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "GOMEMLIMIT", "GOMAXPROCS")


def free_ports(count: int) -> list[int]:
    """Return different loopback ports that nothing listens on now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


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
