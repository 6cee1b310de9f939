"""What a process needs to reach object storage, and the file that hands it over.

The supervisor starts the server and writes ``<data_dir>/secrets/storage-access.json`` (mode 0600) once the server is
prepared; API and worker read it. A file rather than the environment: decoders inherit an environment, and they read
strangers' bytes.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from appliance.errors import StorageError, StorageUnavailable

# SigV4 signs the Host header. Everything that leaves the box is signed for this name, and the front door puts it into
# the requests it passes on, so that a URL works whatever name, address or tunnel it comes back through.
SIGNING_HOST = "storage.internal"


@dataclass(frozen=True)
class Credentials:
    """An access key and its secret; ``session_token`` only for temporary ones."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StorageAccess:
    """How the appliance's own processes use object storage.

    ``endpoint`` is where they call (``http://127.0.0.1:9000``); ``signing_host`` is the Host that the signatures of
    forms and URLs name. ``service`` gets, puts and deletes in the bucket. ``writer`` and ``reader`` sign what leaves:
    themselves, or, with ``temporary``, as parents of STS credentials for one key and one action. A server that tells
    of uploads posts them to ``arrivals_port`` on the loopback with ``arrivals_token``; None where it does not.
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
    arrivals_port: int | None = None
    arrivals_token: str | None = field(default=None, repr=False)


def save_access(data_dir: Path, access: StorageAccess) -> None:
    """Write the hand-over file for the appliance's own processes, replacing an older one at once."""
    write_secret(access_file(data_dir), asdict(access))


def load_access(data_dir: Path) -> StorageAccess:
    """Read the hand-over file.

    Raises StorageUnavailable where no server was prepared for this data folder, StorageError where it is unreadable.
    """
    path = access_file(data_dir)
    try:
        values = json.loads(path.read_text())
        for name in ("service", "writer", "reader"):
            values[name] = Credentials(**values[name])
        return StorageAccess(**values)
    except FileNotFoundError:
        raise StorageUnavailable(f"No object storage was started for the data folder {data_dir}.") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{path} cannot be read: {error}.") from error


def access_file(data_dir: Path) -> Path:
    """Where the hand-over file of this data folder is."""
    return data_dir / "secrets" / "storage-access.json"


def make_credentials() -> Credentials:
    """A fresh random pair, within the lengths that every S3 server takes (20 and 40 characters)."""
    return Credentials(access_key=secrets.token_hex(10).upper(), secret_key=secrets.token_urlsafe(30))


def write_secret(path: Path, values: object) -> None:
    """Write JSON that only the owner can read (0600 in a folder of 0700), whole or not at all."""
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
