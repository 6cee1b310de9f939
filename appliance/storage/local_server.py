"""What the bundled storage servers share: loopback ports, a clean environment, probes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cache

import urllib3

from appliance.storage.seam import connection_pool

# Anything else of the operator's shell could change the server: MINIO_…, WEED_…, AWS_…, proxies.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "GOMEMLIMIT", "GOMAXPROCS")


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nothing listens on now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def child_environment(extra: dict[str, str]) -> dict[str, str]:
    """The few variables that a server needs of ours, and its own."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | extra


def answers(urls: Iterable[str]) -> bool:
    """Whether every URL answers 200 within two seconds."""
    pool = _pool()
    try:
        return all(pool.request("GET", url).status == 200 for url in urls)
    except urllib3.exceptions.HTTPError:
        return False


@cache
def _pool() -> urllib3.PoolManager:
    return connection_pool(read_seconds=2.0, retries=0, connections=2)
