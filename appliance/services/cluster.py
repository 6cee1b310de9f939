"""The cluster of a box: its token, what must be the same on every machine of it, and its nodes."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import secrets
import socket
import stat
from importlib import metadata
from pathlib import Path

from appliance import ROOT, __version__
from appliance.config import Settings
from appliance.errors import ConfigurationError, NotFound
from appliance.state import nodes
from appliance.state.database import Database
from appliance.state.nodes import Node
from appliance.storage.access import secrets_dir

LABEL = "appliance"  # of a node in Ray, with the versions that it has
TOKEN_BYTES = 32
CONNECT_SECONDS = 10.0
# How soon a frozen machine is noticed, a lost head, and by a node that the head was started again, so that it must join
# again. Ray's own values are 64 s, 60 s and 60 s.
TIMES = {
    "RAY_health_check_initial_delay_ms": "5000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "20",
    "RAY_raylet_liveness_self_check_interval_ms": "5000",
    "RAY_agent_register_timeout_ms": "120000",  # a machine that is busy takes longer to start them than 30 s
}


def token_file(data_dir: Path) -> Path:
    """Return the path of the token that lets nodes join the box of a data folder."""
    return secrets_dir(data_dir) / "cluster-token"


def make_token(data_dir: Path) -> str:
    """Return the token of the box. It is made at the first call; only the owner can read its file."""
    path = token_file(data_dir)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(TOKEN_BYTES))
    return read_token(path)


def read_token(path: Path) -> str:
    """Return the token in a file. Raises ConfigurationError if it has none, or if other users can read it."""
    try:
        with path.open() as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            token = file.read().strip()
    except OSError as error:
        raise ConfigurationError(f"The token file {path} cannot be read: {error.strerror}.") from error
    # systemd shows a credential to its service alone, by an access list, which looks like a mode for the group.
    is_credential = str(path.parent) == os.environ.get("CREDENTIALS_DIRECTORY")
    if mode & 0o077 and not is_credential:
        raise ConfigurationError(f"Other users can read the token file {path} (mode {mode:04o}): chmod 600 {path}")
    if len(token) < TOKEN_BYTES:
        raise ConfigurationError(f"{path} has no token; `appliance cluster token` on the box prints it.")
    return token


def environment(token_path: Path) -> dict[str, str]:
    """Return what every process of Ray gets: the token is asked for, and nothing is reported to Ray's makers."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path.absolute()),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",  # decoders have limits of their own, and the kernel decides
        "RAY_enable_worker_prestart": "0",  # an engine starts its own process; a node needs no other
        "RAY_prestart_worker_first_driver": "0",
        **TIMES,
    }


def ray_version() -> str | None:
    """Return the version of Ray that is installed, None if none is. Ray is not loaded."""
    try:
        return metadata.version("ray")
    except metadata.PackageNotFoundError:
        return None


@functools.cache
def versions() -> str:
    """Return what must be the same on the box and on each node, as one word: appliance, its code, Python and Ray."""
    code = hashlib.sha256()
    for path in sorted((ROOT / "appliance").rglob("*.py")):
        code.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    minor = ".".join(platform.python_version_tuple()[:2])
    return f"{__version__}_{code.hexdigest()[:12]}_python-{minor}_ray-{ray_version()}"


def check_box(settings: Settings) -> None:
    """Raise ConfigurationError, with the fix, if this box cannot be the head of a cluster."""
    _check_ray()
    if settings.storage_server != "external":
        raise ConfigurationError(
            "executor = ray needs storage_server = external: nodes read recordings from storage, and the bundled "
            "server listens on the loopback only."
        )
    _check_token(settings)


def check_driver(settings: Settings) -> None:
    """Raise ConfigurationError, with the fix, if no program of this machine can use the nodes of a cluster."""
    _check_ray()
    _check_token(settings)
    host, _, port = settings.cluster_listen.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ConfigurationError(
            f"No head of a cluster listens at {settings.cluster_listen} ({error.strerror or error}): `appliance up` "
            "with executor = ray starts one, and so does `appliance serve head`."
        ) from error


def _check_ray() -> None:
    if ray_version() is None:
        raise ConfigurationError("A cluster needs Ray, which is not installed: run scripts/bootstrap cluster.")


def _check_token(settings: Settings) -> None:
    if not token_file(settings.data_dir).exists():
        raise ConfigurationError("A cluster needs a token: `appliance cluster token` makes it.")
    read_token(token_file(settings.data_dir))


def list_nodes(database: Database) -> list[Node]:
    """Return the nodes of the cluster by name."""
    return nodes.list_nodes(database)


def drain(database: Database, name: str) -> list[Node]:
    """Let the nodes of a name end what they do and take no more, until they join again. Raises NotFound."""
    named = [node for node in nodes.list_nodes(database) if name in (node.name, node.id)]
    if not named:
        raise NotFound(f"There is no node {name!r}; `appliance cluster status` lists all.")
    with database.transaction() as tx:
        for node in named:
            nodes.drain(tx, node.id)
    return named
