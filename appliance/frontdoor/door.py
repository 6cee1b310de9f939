"""Caddy's command line, environment and configuration, all from one frozen set of options."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ConfigurationError
from appliance.frontdoor.api_routes import api_routes
from appliance.frontdoor.problems import problem_routes
from appliance.frontdoor.shared import PRIVATE_RANGES, common_routes, every_response
from appliance.frontdoor.storage_routes import storage_routes

_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class FrontDoor:
    """What the front door needs to know.

    ``host`` and ``port`` are what it listens on. ``storage_endpoint`` (scheme, host, port) is the S3 server, reached
    with ``storage_host`` as its Host; ``api_socket`` is gunicorn's. ``folder`` is its own, for configuration and
    state. ``cors_origins`` are the origins whose pages may use storage. A file may have ``max_upload_bytes``, a
    batch of them ``max_batch_bytes``.
    """

    host: str
    port: int
    bucket: str
    storage_endpoint: str
    storage_host: str
    api_socket: Path
    folder: Path
    max_upload_bytes: int
    max_batch_bytes: int
    cors_origins: tuple[str, ...] = ()
    log_level: str = "info"

    def command(self) -> list[str]:
        """Write the configuration and give the command line that serves it. Raises ConfigurationError without Caddy."""
        file = self.folder / "caddy.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(self.configuration(), indent=2))
        partial.replace(file)
        return [str(find_caddy()), "run", "--config", str(file)]

    def environment(self) -> dict[str, str]:
        """The whole environment of the process; its folders keep it out of the operator's home."""
        own = {"HOME": "", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data"}
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return inherited | {name: str(self.folder.absolute() / place) for name, place in own.items()}

    def configuration(self) -> dict:
        """Caddy's configuration, in its JSON form."""
        return {
            "admin": {"disabled": True, "config": {"persist": False}},
            "logging": {"logs": {"default": self._log()}},
            "storage": {"module": "file_system", "root": str(self.folder.absolute() / "data")},
            "apps": {"http": {"grace_period": "5s", "servers": {"door": self._server()}}},
        }

    def _server(self) -> dict:
        return {
            "listen": [_address(self.host, self.port)],
            "protocols": ["h1"],
            "automatic_https": {"disable": True},
            # A tunnel on this network ends TLS: its X-Forwarded-Proto tells the scheme that the client used.
            "trusted_proxies": {"source": "static", "ranges": PRIVATE_RANGES},
            "trusted_proxies_strict": 1,
            # No limit on reading a body: 500 MB over a slow link takes hours, and is welcome.
            "read_header_timeout": "30s",
            "idle_timeout": "5m",
            "max_header_bytes": 64 * 1024,
            "routes": [*common_routes(), *storage_routes(self), *api_routes(self)],
            "errors": {"routes": [*every_response(), *problem_routes(self)]},
            "logs": {},
        }

    def _log(self) -> dict:
        """JSON lines without secrets: the query of a presigned URL is one, and headers carry API keys."""
        fields = {
            "request>uri": {"filter": "regexp", "regexp": r"\?.*", "value": ""},
            "request>headers": {"filter": "delete"},
            "resp_headers": {"filter": "delete"},
        }
        wrapped = {"format": "json", "time_format": "rfc3339_nano"}
        return {
            "writer": {"output": "stdout"},
            "level": {"warning": "WARN"}.get(self.log_level, self.log_level.upper()),
            "encoder": {"format": "filter", "wrap": wrapped, "fields": fields},
        }


def find_caddy() -> Path:
    """Caddy's program: the one that came with our packages, else one on the PATH.

    Raises ConfigurationError where there is none.
    """
    bundled = Path(sysconfig.get_path("scripts")) / "caddy"
    if bundled.is_file():
        return bundled
    if found := shutil.which("caddy"):
        return Path(found)
    raise ConfigurationError("There is no Caddy beside this Python: run ./scripts/appliance, which installs it.")


def _address(host: str, port: int) -> str:
    try:
        return f"[{host}]:{port}" if ipaddress.ip_address(host).version == 6 else f"{host}:{port}"
    except ValueError:
        return f"{host}:{port}"
