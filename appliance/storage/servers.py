"""The server behind the S3 interface: which one it is, how it is started, when it is ready.

``choose_server(settings)`` returns one. The supervisor runs ``command()`` in ``environment()``, waits for ``ready()``
and calls ``prepare()``, whose result ``save_access`` keeps for the other processes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from appliance.config import Settings
from appliance.errors import ConfigurationError, StorageUnavailable
from appliance.storage.access import StorageAccess
from appliance.storage.binaries import find_minio, find_seaweedfs
from appliance.storage.external_server import ExternalServer
from appliance.storage.identities import recorded_server
from appliance.storage.minio_server import MinioServer
from appliance.storage.seaweedfs_server import SeaweedfsServer


class StorageServer(Protocol):
    """One S3 server. Its ports are chosen when the object is made; a restart of the process keeps them."""

    name: str
    notice: str | None  # one line that the operator should read; None if there is nothing to say
    program: Path | None  # None if nothing is to be started
    version_flag: str  # the argument with which the program prints its version
    arrivals_port: int | None  # loopback port to which it posts its upload events; None if it sends none
    stop_seconds: float  # how long to wait before it is killed; a kill loses nothing that it acknowledged

    @property
    def ports(self) -> tuple[int, ...]:
        """The loopback ports on which its process listens; none if nothing is started."""

    @property
    def endpoint(self) -> str:
        """Scheme, host and port at which the front door and the appliance's processes call it."""

    @property
    def signing_host(self) -> str:
        """The Host that forms and URLs are signed for. The front door sets it in the requests that it passes on."""

    def command(self) -> list[str] | None:
        """Make its folders and return the command line; None if nothing is to be started."""

    def environment(self) -> dict[str, str]:
        """Return the whole environment of the process. It contains secrets: do not log it or add it to another."""

    def ready(self) -> bool:
        """Return, within about two seconds, whether it accepts reads and writes."""

    def prepare(self) -> StorageAccess:
        """Make the bucket and the identities if they are missing. Returns how to reach them.

        Raises StorageUnavailable if it is not ready yet, StorageError if it refuses.
        """


def choose_server(settings: Settings, ports: tuple[int, ...] = ()) -> StorageServer:
    """Return the server that the settings name. MinIO listens on ``ports``, if they are given, else on free ones.

    For ``auto`` it is the one that already holds the data folder's objects, else MinIO, else SeaweedFS.
    Raises ConfigurationError if its program is missing or the data folder belongs to another server.
    """
    name: str = settings.storage_server
    if name == "external":
        return ExternalServer(settings)
    if name == "auto":
        name = _automatic(recorded_server(settings.data_dir))
    if name == "minio":
        minio = find_minio()
        if minio is None:
            raise ConfigurationError(
                "MinIO is not installed. Run scripts/install-storage minio, or set APPLIANCE_MINIO."
            )
        return MinioServer(settings, minio, ports)
    weed = find_seaweedfs()
    if weed is None:
        raise ConfigurationError("No storage server is installed. Run scripts/install-storage, or set APPLIANCE_MINIO.")
    notice = "Storage is SeaweedFS instead of MinIO: one write-only key signs all upload forms, not one key per file."
    return SeaweedfsServer(settings, weed, notice)


def prepare(server: StorageServer, seconds: float) -> StorageAccess:
    """Prepare a server; one that has just started may not be ready for it yet.

    Raises StorageUnavailable after ``seconds``, StorageError.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return server.prepare()
        except StorageUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _automatic(recorded: str | None) -> str:
    if recorded in ("minio", "seaweedfs"):
        return recorded
    return "minio" if find_minio() else "seaweedfs"
