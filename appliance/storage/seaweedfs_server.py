"""SeaweedFS, the storage server for machines on which MinIO cannot be installed.

It accepts no upload form that is signed with temporary credentials. So a key that may only write signs forms, and a key
that may only read signs URLs. It keeps a form's file in memory until the file is complete, and only then checks whether
the form expired. It ends an upload that makes no progress for a minute.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from appliance.config import Settings
from appliance.storage.access import SIGNING_HOST, Credentials, StorageAccess, secrets_dir, write_secret
from appliance.storage.identities import check_owner, load_or_make_identities
from appliance.storage.local_server import all_healthy, child_environment, free_ports
from appliance.storage.seam import connection_pool, s3_client, translated

# A port that is not named here has its default number: open on this machine, and in conflict with a second appliance.
_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "volume.port.public",
    "filer.port",
    "filer.port.grpc",
    "filer.port.public",
    "s3.port",
    "s3.port.grpc",
)
_OPTIONS = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-filer",
    "-s3",
    "-iam=false",
    "-s3.iam=false",
    "-s3.autoCreateBucket=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-filer.tusBasePath=",
    "-filer.disableDirListing",
    "-filer.exposeDirectoryData=false",
    # By default it reports statistics to its makers.
    "-master.telemetry=false",
    "-master.volumePreallocate=false",
    "-master.volumeSizeLimitMB=1024",
    "-volume.max=0",
    "-volume.preStopSeconds=0",
)


_SOCKETS = Path("/tmp")
_STARTED_SECONDS = 60.0  # a younger socket may be that of a server that does not listen yet


class SeaweedfsServer:
    """Master, volume, filer and S3 server in one process, with files in ``<data_dir>/objects/seaweedfs``.

    See StorageServer.
    """

    name = "seaweedfs"
    version_flag = "version"
    signing_host = SIGNING_HOST
    # Its filer would wait 15 seconds for subscriptions that its own S3 server keeps open.
    stop_seconds = 2.0

    def __init__(self, settings: Settings, program: Path, notice: str | None = None) -> None:
        self.arrivals_port: int | None = None
        self.notice = notice
        self._settings = settings
        self.program: Path | None = program
        self._folder = settings.data_dir.absolute() / "objects" / "seaweedfs"
        check_owner(settings.data_dir, self.name)
        self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))

    @cached_property
    def _identities(self) -> dict[str, Credentials]:
        names = ("root", "service", "writer", "reader")
        return load_or_make_identities(self._settings.data_dir, self.name, names)

    @property
    def ports(self) -> tuple[int, ...]:
        """The loopback ports on which it listens."""
        return tuple(self._ports.values())

    @property
    def endpoint(self) -> str:
        """Scheme, host and port of the S3 server."""
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    def command(self) -> list[str]:
        """Make the folder and the file of identities, and return the command line."""
        remove_dead_sockets(_SOCKETS)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        identities = secrets_dir(self._settings.data_dir.absolute()) / "seaweedfs-s3.json"
        write_secret(identities, self._s3_configuration())
        ports = [f"-{name}={port}" for name, port in self._ports.items()]
        files = [f"-dir={self._folder}", f"-s3.config={identities}"]
        return [str(self.program), "-logtostderr", "server", *_OPTIONS, *ports, *files]

    def environment(self) -> dict[str, str]:
        """Return the whole environment; the secrets are in the file of identities."""
        return child_environment({})

    def ready(self) -> bool:
        """Return whether the S3 server and the volume server are healthy."""
        # The S3 server responds before the volume server has joined the master; until then nothing can be stored.
        volume = f"http://127.0.0.1:{self._ports['volume.port']}"
        return all_healthy([f"{self.endpoint}/healthz", f"{volume}/healthz"])

    def prepare(self) -> StorageAccess:
        """Make the bucket."""
        bucket, region = self._settings.storage_bucket, self._settings.storage_region
        with translated(bucket):
            client = s3_client(self.endpoint, region, self._identities["root"], connection_pool())
            if not client.bucket_exists(bucket):
                client.make_bucket(bucket)
        return StorageAccess(
            server=self.name,
            endpoint=self.endpoint,
            signing_host=self.signing_host,
            region=region,
            bucket=bucket,
            temporary=False,
            service=self._identities["service"],
            writer=self._identities["writer"],
            reader=self._identities["reader"],
            local_ports=[*self._ports.values()],
        )

    def _s3_configuration(self) -> dict:
        bucket = self._settings.storage_bucket
        actions = {
            "root": ["Admin"],
            "service": [f"{action}:{bucket}" for action in ("Read", "Write", "List")],
            "writer": [f"Write:{bucket}"],
            "reader": [f"Read:{bucket}"],
        }
        return {"identities": [_identity(name, self._identities[name], actions[name]) for name in actions]}


def _identity(name: str, keys: Credentials, actions: list[str]) -> dict:
    pair = {"accessKey": keys.access_key, "secretKey": keys.secret_key}
    return {"name": name, "credentials": [pair], "actions": actions}


def remove_dead_sockets(folder: Path) -> None:
    """Remove this user's sockets of servers that ended. SeaweedFS leaves four or more in ``/tmp``."""
    for path in folder.glob("seaweedfs-*.sock"):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            status = path.lstat()
            is_ours = stat.S_ISSOCK(status.st_mode) and status.st_uid == os.getuid()
            if is_ours and time.time() - status.st_mtime > _STARTED_SECONDS:
                try:
                    probe.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink()
