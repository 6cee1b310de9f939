"""What a process needs to reach object storage, and the access file that passes it on.

The supervisor starts the server, prepares it, and then writes ``storage-access.json`` (mode 0600) to the folder of the
secrets. The API and the worker read it. It is a file and not in the environment, because decoders inherit the
environment and read untrusted bytes.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from appliance.config import Settings
from appliance.errors import ConfigurationError, StorageError, StorageUnavailable

# SigV4 signs the Host header. Every form and URL is signed for this name, and the front door sets it as the Host of the
# requests that it passes on. So a URL works with whatever name, address or tunnel the client uses.
SIGNING_HOST = "storage.internal"

# The name of an original that a client uploads in parts. No credential that leaves can write any other original.
IN_PARTS = "parts-"

# Clients upload under this prefix and nowhere else. A confirmed upload is copied to a key that no client can write.
UPLOADS = "incoming/"


@dataclass(frozen=True)
class Credentials:
    """An access key and its secret. Only temporary credentials have a ``session_token``."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StorageAddress:
    """Where object storage is, without secrets: all that the front door needs to know of it."""

    endpoint: str
    signing_host: str
    ca_file: str | None = None


@dataclass(frozen=True)
class StorageAccess:
    """How the appliance's own processes use object storage.

    ``endpoint`` is the server's scheme, host and port (``http://127.0.0.1:9000``). ``signing_host`` is the Host that
    the signatures of forms and URLs name. ``service`` gets, puts and deletes objects in the bucket. ``writer`` and
    ``reader`` sign forms and URLs: directly, or, if ``temporary``, as parents of STS credentials for one key and one
    action; ``parts_writer`` signs those of parts, if that is another one. If the server sends an event for each upload,
    it posts it to ``arrivals_port`` on the loopback with ``arrivals_token``; a server that sends no events has neither.
    ``local_ports`` are the other ports on which the server listens. ``ca_file`` has the CAs of an https
    endpoint, if they are no public ones.
    """

    server: str
    endpoint: str
    signing_host: str
    region: str
    bucket: str
    temporary: bool
    service: Credentials
    writer: Credentials
    reader: Credentials
    parts_writer: Credentials | None = None
    arrivals_port: int | None = None
    arrivals_token: str | None = field(default=None, repr=False)
    local_ports: list[int] = field(default_factory=list)
    ca_file: str | None = None

    @property
    def address(self) -> StorageAddress:
        """The part of it that is no secret."""
        return StorageAddress(self.endpoint, self.signing_host, self.ca_file)


def save_access(data_dir: Path, access: StorageAccess) -> None:
    """Write the access file for the appliance's own processes. It replaces an older one atomically."""
    write_secret(access_file(data_dir), asdict(access))


def load_access(data_dir: Path) -> StorageAccess:
    """Read the access file.

    Raises StorageUnavailable if no server was prepared for this data folder, StorageError if the file is unreadable.
    """
    path = access_file(data_dir)
    try:
        values = json.loads(path.read_text())
        for name in ("service", "writer", "reader"):
            values[name] = Credentials(**values[name])
        if values.get("parts_writer"):
            values["parts_writer"] = Credentials(**values["parts_writer"])
        return StorageAccess(**values)
    except FileNotFoundError:
        raise StorageUnavailable(f"No object storage was started for the data folder {data_dir}.") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{path} cannot be read: {error}.") from error


def save_address(data_dir: Path, address: StorageAddress) -> None:
    """Write where storage is for the front door's unit, which gets no secrets."""
    write_secret(_address_file(data_dir), asdict(address))


def load_address(data_dir: Path) -> StorageAddress:
    """Read where storage is. Raises StorageUnavailable if ``save_address`` did not write it."""
    path = _address_file(data_dir)
    try:
        return StorageAddress(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise StorageUnavailable(f"{path} cannot be read: {error}.") from error


def kept_ports(data_dir: Path) -> tuple[int, ...]:
    """Return the ports of MinIO and of its events at the last start; empty before the first one."""
    try:
        access = load_access(data_dir)
    except StorageUnavailable:
        return ()
    port = urlsplit(access.endpoint).port
    return (port, access.arrivals_port) if port and access.arrivals_port else ()


def access_file(data_dir: Path) -> Path:
    """Return the path of this data folder's access file."""
    return secrets_dir(data_dir) / "storage-access.json"


def _address_file(data_dir: Path) -> Path:
    return secrets_dir(data_dir) / "storage-address.json"


def secrets_dir(data_dir: Path) -> Path:
    """Return the folder of the secrets: ``secrets`` in the data folder, or the one in which systemd shows them."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(credentials) if credentials else data_dir / "secrets"


def read_keys(settings: Settings) -> Credentials:
    """Return the key to ``storage_endpoint`` that only reads, or the other one if there is none.

    Raises ConfigurationError if it has no secret.
    """
    if not settings.storage_read_access_key:
        return Credentials(settings.storage_access_key, settings.storage_secret_key)
    if not settings.storage_read_secret_key:
        raise ConfigurationError("storage_read_access_key needs storage_read_secret_key.")
    return Credentials(settings.storage_read_access_key, settings.storage_read_secret_key)


def make_credentials() -> Credentials:
    """Return new random credentials, within the lengths that every S3 server accepts (20 and 40 characters)."""
    return Credentials(access_key=secrets.token_hex(10).upper(), secret_key=secrets.token_urlsafe(30))


def write_secret(path: Path, values: object) -> None:
    """Write JSON atomically to a file that only the owner can read (mode 0600 in a folder of 0700)."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(values, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
