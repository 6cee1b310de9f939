"""Caddy's program, command line, environment and configuration, made from the options of the front door."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import sysconfig
from pathlib import Path

from appliance.errors import ConfigurationError
from appliance.frontdoor.api_routes import api_routes
from appliance.frontdoor.console_routes import console_routes
from appliance.frontdoor.cors import cors_routes, preflight_routes
from appliance.frontdoor.door import FrontDoor
from appliance.frontdoor.figures import figures_server
from appliance.frontdoor.problems import problem_routes
from appliance.frontdoor.shared import common_routes, every_response
from appliance.frontdoor.storage_routes import storage_routes
from appliance.frontdoor.tls import ca_routes, connection_policies, redirect_routes, tls_apps

# Lines of the log that anybody can cause, with no key: refusals, preflights, and paths that need no key.
STRANGERS = re.compile(
    rb'"status":(4[0-9]{2}|308)|"method":"OPTIONS"|"uri":"/(healthz|readyz|docs|console|ca[.]crt|api/v1/(openapi[.]json|status))?["/]'
)

_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


def command(door: FrontDoor) -> list[str]:
    """Write the configuration file and return the command line that serves it.

    Raises ConfigurationError if Caddy is not installed.
    """
    file = door.folder / "caddy.json"
    door.folder.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(configuration(door), indent=2))
    partial.replace(file)
    return [str(find_caddy()), "run", "--config", str(file)]


def environment(door: FrontDoor) -> dict[str, str]:
    """Return the whole environment of the process. Its folders keep Caddy out of the operator's home."""
    folders = {"HOME": "", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data"}
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {name: str(door.folder.absolute() / folder) for name, folder in folders.items()}


def configuration(door: FrontDoor) -> dict:
    """Return Caddy's configuration in its JSON form."""
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": _log(door)}},
        "storage": {"module": "file_system", "root": str(door.folder.absolute() / "data")},
        "apps": {"http": {"grace_period": "5s", "metrics": {}, "servers": _servers(door)}, **tls_apps(door)},
    }


def find_caddy() -> Path:
    """Return Caddy's program: the one installed beside this Python, else the one on the PATH.

    Raises ConfigurationError if there is none.
    """
    bundled = Path(sysconfig.get_path("scripts")) / "caddy"
    if bundled.is_file():
        return bundled
    if path := shutil.which("caddy"):
        return Path(path)
    raise ConfigurationError("Caddy is not installed beside this Python. Run ./scripts/appliance, which installs it.")


def _servers(door: FrontDoor) -> dict:
    servers = {"door": _server(door)}
    if door.tls:
        servers["door"] |= connection_policies(door.tls)
        if door.tls.redirect_port:
            servers["redirect"] = {
                "listen": [_address(door.host, door.tls.redirect_port)],
                "protocols": ["h1"],
                "automatic_https": {"disable": True},
                "routes": [*common_routes(), *redirect_routes(door)],
                "logs": {},
            }
    if door.figures_socket:
        servers |= figures_server(door.figures_socket.absolute())
    return servers


def _server(door: FrontDoor) -> dict:
    return {
        "listen": [_address(door.host, door.port)],
        "protocols": ["h1"],
        "automatic_https": {"disable": True},
        # If a tunnel ends TLS, its X-Forwarded-Proto names the scheme that the client used.
        "trusted_proxies": {"source": "static", "ranges": list(door.trusted_proxies)},
        "trusted_proxies_strict": 1,
        # Every route sets its own limits on the time of a body. These, of 60 s if they are not set, would come before.
        "read_idle_timeout": -1,
        "write_idle_timeout": -1,
        "read_header_timeout": "30s",
        "idle_timeout": "5m",
        "max_header_bytes": 64 * 1024,
        "routes": [
            *common_routes(),
            *cors_routes(door),
            *preflight_routes(door),
            *console_routes(),
            *ca_routes(door),
            *storage_routes(door),
            *api_routes(door),
        ],
        "errors": {"routes": [*every_response(), *cors_routes(door), *problem_routes(door)]},
        "logs": {},
    }


def _log(door: FrontDoor) -> dict:
    """Return the log's configuration: JSON lines without secrets.

    The query of a presigned URL is a secret, and headers carry API keys.
    """
    fields = {
        "request>uri": {"filter": "regexp", "regexp": r"\?.*", "value": ""},
        "request>headers": {"filter": "delete"},
        "resp_headers": {"filter": "delete"},
    }
    wrapped = {"format": "json", "time_format": "rfc3339_nano"}
    return {
        "writer": {"output": "stdout"},
        "level": {"warning": "WARN"}.get(door.log_level, door.log_level.upper()),
        "encoder": {"format": "filter", "wrap": wrapped, "fields": fields},
    }


def _address(host: str, port: int) -> str:
    try:
        return f"[{host}]:{port}" if ipaddress.ip_address(host).version == 6 else f"{host}:{port}"
    except ValueError:
        return f"{host}:{port}"
