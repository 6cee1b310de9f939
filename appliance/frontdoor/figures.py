"""The figures of the front door for Prometheus. Caddy gives them over a unix socket, which no client reaches."""

from __future__ import annotations

import http.client
import re
import socket
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

LONGEST_SOCKET_PATH = 107  # of the kernel
_SECONDS = 2.0
# Caddy counts a request once for each handler that it passes. Every request passes this one, first of all.
_ONCE = "log_append"


def figures_socket(data_dir: Path) -> Path:
    """Return the path of the socket. Its folder has nothing else, so that the front door's unit may write to it."""
    return data_dir / "run" / "frontdoor" / "figures.sock"


def figures_server(path: Path) -> dict:
    """Return the servers of the socket: none if its folder lies too deep for one."""
    if len(str(path)) > LONGEST_SOCKET_PATH:
        return {}
    server = {"listen": [f"unix/{path}|0600"], "routes": [{"handle": [{"handler": "metrics"}]}]}
    return {"figures": server | {"protocols": ["h1"], "automatic_https": {"disable": True}}}


def read_figures(path: Path) -> list[Metric]:
    """Return the metrics of Caddy and of its process, each request counted once.

    Raises OSError if the front door does not give them.
    """
    lines = [line for line in _page(path).splitlines() if "handler=" not in line or f'handler="{_ONCE}"' in line]
    text = re.sub(f'handler="{_ONCE}",?', "", "\n".join(lines) + "\n")
    return [
        metric for metric in text_string_to_metric_families(text) if metric.name.startswith(("caddy_http_", "process_"))
    ]


def _page(path: Path) -> str:
    connection = _Connection(path)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        if response.status != 200:
            raise OSError(f"The front door answered {response.status} for its figures.")
        return response.read().decode()
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"The front door gave no figures: {error}.") from error
    finally:
        connection.close()


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(str(self._path))
