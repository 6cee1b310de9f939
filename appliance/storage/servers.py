"""The server behind the S3 interface: which one it is, how it is started, when it is ready.

``choose_server(settings)`` gives one; the supervisor runs ``command()`` in ``environment()``, waits for ``ready()``
and calls ``prepare()``, which leaves the hand-over file that ``load_access`` reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.storage.access import StorageAccess
from appliance.storage.binaries import find_minio, find_seaweedfs
from appliance.storage.external_server import ExternalServer
from appliance.storage.identities import recorded_server
from appliance.storage.minio_server import MinioServer
from appliance.storage.seaweedfs_server import SeaweedfsServer


class StorageServer(Protocol):
    """One S3 server. Its ports are chosen when it is made and stay for its life, also over restarts of the process."""

    name: str
    notice: str | None  # one line that the operator should read, None where all is usual
    program: Path | None  # None where nothing is to be started
    arrivals_port: int | None  # loopback port to which it posts what was uploaded, None where it does not tell
    stop_seconds: float  # how long to wait for it to stop; killed after that, it loses nothing that it acknowledged

    @property
    def endpoint(self) -> str:
        """Where the front door and the appliance's processes call it: scheme, host and port."""

    @property
    def signing_host(self) -> str:
        """The Host that forms and URLs are signed for; the front door puts it into what it passes on."""

    def command(self) -> list[str] | None:
        """Make its folders and give the command line, None where nothing is to be started."""

    def environment(self) -> dict[str, str]:
        """The whole environment of the process, its secrets in it; not to be added to ours, nor logged."""

    def ready(self) -> bool:
        """Whether it takes reads and writes, known within about two seconds."""

    def prepare(self) -> StorageAccess:
        """Make the bucket and the identities where they are missing, and write the hand-over file.

        Raises StorageUnavailable where it is not ready yet, StorageError where it refuses.
        """


def choose_server(settings: Settings) -> StorageServer:
    """The server that the settings name; for ``auto`` the one that already holds the data folder's objects, else MinIO,
    else SeaweedFS.

    Raises ConfigurationError where its program is missing or the data folder belongs to another server.
    """
    wanted: str = settings.storage_server
    if wanted == "external":
        return ExternalServer(settings)
    if wanted == "auto":
        wanted = _automatic(recorded_server(settings.data_dir))
    if wanted == "minio":
        minio = find_minio()
        if minio is None:
            raise ConfigurationError("There is no MinIO: run scripts/install-storage minio, or set APPLIANCE_MINIO.")
        return MinioServer(settings, minio)
    weed = find_seaweedfs()
    if weed is None:
        raise ConfigurationError("There is no storage server: run scripts/install-storage, or set APPLIANCE_MINIO.")
    notice = "Storage is SeaweedFS, in place of MinIO: upload forms are signed by a write-only key, not one per file."
    return SeaweedfsServer(settings, weed, notice)


def _automatic(recorded: str | None) -> str:
    if recorded in ("minio", "seaweedfs"):
        return recorded
    return "minio" if find_minio() else "seaweedfs"
