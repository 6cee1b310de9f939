"""The processes of the appliance: how each is started, and how it shows that it lives.

``up`` runs all of them; the units of systemd run one each.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from appliance.config import Settings
from appliance.engine.models.gpus import list_gpus
from appliance.errors import ConfigurationError
from appliance.frontdoor import caddy
from appliance.frontdoor.door import FrontDoor, Tls
from appliance.frontdoor.figures import figures_socket
from appliance.services import cluster
from appliance.services.pulse import pulse_file, worker_name
from appliance.storage.access import StorageAddress
from appliance.storage.servers import StorageServer
from appliance.supervisor import tether
from appliance.supervisor.hangs import Probe, accepts, answers, changes
from appliance.supervisor.ports import own_names

START_SECONDS = 300.0  # that a process may take until it is ready, on a slow machine

# What systemd tells the process that it started is not for the children of that process.
NOTICES = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


@dataclass(frozen=True)
class Part:
    """One process. ``probe`` asks whether it lives, ``is_ready`` whether it can do its work; it gets
    ``patience_seconds`` to end.

    ``ports`` are the loopback ports that were chosen for it. Lines of its output that fit ``aside`` are those that
    strangers can cause.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    probe: Probe
    patience_seconds: float
    ports: tuple[int, ...] = ()
    aside: re.Pattern[bytes] | None = None
    is_ready: Callable[[], bool] = lambda: True


def storage(server: StorageServer) -> Part | None:
    """Return the storage server's process, and make its folders. Returns None if nothing is to be started."""
    command = server.command()
    if command is None:
        return None
    url = urlsplit(server.endpoint)
    probe = answers((url.hostname or "", url.port or 80), "/")
    return Part("storage", command, server.environment(), probe, server.stop_seconds, server.ports, None, server.ready)


def head(settings: Settings) -> Part | None:
    """Return the process of the cluster's head. Returns None if the box has no nodes. Raises ConfigurationError."""
    if settings.executor == "local":
        return None
    cluster.check_box(settings)
    host, _, port = settings.cluster_listen.rpartition(":")
    listens = accepts((host.strip("[]"), int(port)))
    command = [sys.executable, "-m", "appliance.supervisor.ray_node"]
    return Part("head", command, _environment(settings), listens, 12.0, is_ready=lambda: listens(1.0))


def workers(settings: Settings) -> list[Part]:
    """Return the processes of the workers: one for each GPU, and one if there is none, or if nodes do the work."""
    gpus = [] if settings.provider == "cpu" or settings.executor == "ray" else list_gpus()
    if len(gpus) < 2:
        return [worker(settings)]
    return [worker(settings, number, len(gpus), gpu) for number, gpu in enumerate(gpus, 1)]


def worker(settings: Settings, number: int = 1, count: int = 1, gpu: str | None = None) -> Part:
    """Return the process of the worker with a number. ``gpu`` is the only one that it sees."""
    command = [sys.executable, "-m", "appliance.worker", *([str(number), str(count)] if count > 1 else [])]
    environment = _environment(settings) | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})
    return Part(worker_name(number), command, environment, changes(pulse_file(settings.data_dir, number)), 12.0)


def api(settings: Settings, socket: Path, arrivals_port: int | None) -> Part:
    """Return the API's process, which listens on a socket, and on a loopback port for storage's events."""
    threads = settings.api_threads + settings.streamed_uploads
    command = _gunicorn(socket, arrivals_port, threads)
    ports = (arrivals_port,) if arrivals_port else ()
    return Part("api", command, _environment(settings), answers(socket, "/healthz"), 12.0, ports)


def frontdoor(settings: Settings, address: StorageAddress, socket: Path) -> Part:
    """Return the front door's process, and write its configuration."""
    door = FrontDoor(
        host=settings.host,
        port=settings.port,
        bucket=settings.storage_bucket,
        storage_endpoint=address.endpoint,
        storage_host=address.signing_host,
        storage_ca_file=address.ca_file,
        api_socket=socket,
        folder=settings.data_dir / "frontdoor",
        max_upload_bytes=settings.max_upload_bytes,
        max_batch_bytes=settings.max_batch_bytes,
        max_model_bytes=settings.max_model_bytes,
        model_check_seconds=settings.model_check_seconds,
        cors_origins=tuple(settings.cors_origins),
        trusted_proxies=tuple(settings.trusted_proxies),
        log_level=settings.log_level,
        tls=_tls(settings),
        figures_socket=figures_socket(settings.data_dir),
    )
    own = urlsplit(origin_of(settings))
    # The front door refuses this path by itself: its answer says nothing about the API or storage.
    probe = answers((own.hostname or "", settings.port), f"/{door.bucket}")
    return Part("frontdoor", caddy.command(door), caddy.environment(door), probe, 6.0, aside=caddy.STRANGERS)


def origin_of(settings: Settings) -> str:
    """Return the scheme, host and port at which this machine reaches the front door."""
    host = settings.own_host
    scheme = "http" if settings.tls == "off" else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


def answer_of(settings: Settings, path: str, seconds: float) -> urllib3.BaseHTTPResponse:
    """Return what the own front door answers. Its certificate need not name this machine's loopback address.

    Raises urllib3's HTTPError.
    """
    with urllib3.PoolManager(cert_reqs="CERT_NONE", timeout=seconds, retries=False) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        return pool.request("GET", origin_of(settings) + path)


def api_socket(data_dir: Path) -> Path:
    """Return the path of the socket between the front door and the API."""
    return data_dir / "run" / "api.sock"


def _tls(settings: Settings) -> Tls | None:
    """Return how the front door speaks HTTPS. Raises ConfigurationError if the certificate cannot be used."""
    if settings.tls == "off":
        return None
    if settings.tls == "internal":
        return Tls(None, tuple(settings.tls_names) or own_names(settings.host), settings.tls_redirect_port)
    if not (settings.tls_certificate and settings.tls_key):
        raise ConfigurationError("tls = certificate needs tls_certificate and tls_key.")
    files = (settings.tls_certificate.absolute(), settings.tls_key.absolute())
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*files)
    except (OSError, ValueError) as error:  # also ssl.SSLError
        raise ConfigurationError(
            f"The certificate {files[0]} and the key {files[1]} cannot be used: {error}."
        ) from error
    return Tls(files, (), settings.tls_redirect_port)


def _environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment with the settings of the command line, and with absolute paths."""
    config = os.environ.get("APPLIANCE_CONFIG")
    return {name: value for name, value in os.environ.items() if name not in NOTICES} | {
        **({"APPLIANCE_CONFIG": os.path.abspath(config)} if config else {}),
        "APPLIANCE_MODEL_STORE": str(settings.model_store.absolute()),
        "APPLIANCE_DATA_DIR": str(settings.data_dir),
        "APPLIANCE_HOST": settings.host,
        "APPLIANCE_PORT": str(settings.port),
        "PYTHONUNBUFFERED": "1",
    }


def _gunicorn(socket: Path, arrivals_port: int | None, threads: int) -> list[str]:
    options = {
        "--bind": f"unix:{socket}",
        "--workers": "1",  # one process writes under one lock; several would wait for SQLite's lock
        "--worker-class": "gthread",
        "--threads": str(threads),
        "--forwarded-allow-ips": "*",  # only the front door can reach the socket
        "--forwarder-headers": "",  # by default a request's SCRIPT_NAME would change its path
        "--graceful-timeout": "10",
        # The front door limits a request's head. A request that passes it gets the API's error, not a page of gunicorn.
        "--limit-request-line": "0",
        "--limit-request-fields": "32768",
        "--limit-request-field_size": str(128 * 1024),
        "--umask": "0o077",
        "--log-level": "warning",
    }
    command = [sys.executable, "-m", "gunicorn", "appliance.wsgi:create()", "--no-control-socket"]
    command += ["--config", f"python:{tether.__name__}"]
    if arrivals_port is not None:
        command += ["--bind", f"127.0.0.1:{arrivals_port}"]
    return command + [part for option in options.items() for part in option]
