"""The options of the front door, the one Caddy that serves the API and the upload bucket on one origin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tls:
    """How the front door speaks HTTPS: with ``files``, a certificate and its key, or with one for ``names`` that it
    makes itself. On ``redirect_port`` it answers plain HTTP with the way to HTTPS; 0 is no such port.
    """

    files: tuple[Path, Path] | None
    names: tuple[str, ...]
    redirect_port: int


@dataclass(frozen=True)
class FrontDoor:
    """What the front door needs to know.

    It listens on ``host`` and ``port``. ``storage_endpoint`` (scheme, host, port) is the S3 server; requests to it
    carry ``storage_host`` as their Host. ``api_socket`` is gunicorn's unix socket. ``folder`` holds the front door's
    own configuration and state. ``cors_origins`` are the origins whose pages may call the API and storage.
    ``max_upload_bytes`` is the largest size of one file, ``max_batch_bytes`` that of all files of a batch together, and
    ``max_model_bytes`` that of a model. The API checks a model for up to ``model_check_seconds`` before it answers.
    ``storage_ca_file`` has the CAs of an https endpoint, if they are no public ones.
    ``trusted_proxies`` are the networks whose X-Forwarded-For and X-Forwarded-Proto are believed. At
    ``figures_socket`` it gives its metrics.
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
    max_model_bytes: int = 1024**3
    model_check_seconds: int = 120
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    log_level: str = "info"
    tls: Tls | None = None
    figures_socket: Path | None = None
    storage_ca_file: str | None = None
