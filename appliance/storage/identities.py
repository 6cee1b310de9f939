"""The storage server's users and their credentials, made at the first start: ``storage.json``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from appliance.errors import ConfigurationError
from appliance.storage.access import Credentials, make_credentials, secrets_dir, write_secret


def recorded_server(data_dir: Path) -> str | None:
    """Return the name of the server that holds this data folder's objects; None before the first start."""
    return _read(data_dir).get("server")


def check_owner(data_dir: Path, server: str) -> None:
    """Raise ConfigurationError if the folder's objects belong to another server: ``server`` could not read them."""
    owner = recorded_server(data_dir) or server
    if owner != server:
        raise ConfigurationError(
            f"The objects in {data_dir} were stored by {owner}; {server} cannot read them. "
            f"Set APPLIANCE_STORAGE_SERVER={owner}, or use another data folder."
        )


def load_or_make_identities(data_dir: Path, server: str, names: tuple[str, ...]) -> dict[str, Credentials]:
    """Return credentials by name, and create those that are missing. Raises ConfigurationError as ``check_owner``."""
    check_owner(data_dir, server)
    record = _read(data_dir)
    identities = {name: Credentials(**pair) for name, pair in record.get("identities", {}).items()}
    missing = [name for name in names if name not in identities]
    if missing:
        identities |= {name: make_credentials() for name in missing}
        pairs = {name: asdict(identity) for name, identity in identities.items()}
        write_secret(_file(data_dir), {"server": server, "identities": pairs})
    return identities


def _file(data_dir: Path) -> Path:
    return secrets_dir(data_dir) / "storage.json"


def _read(data_dir: Path) -> dict:
    try:
        return json.loads(_file(data_dir).read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{_file(data_dir)} cannot be read: {error}.") from error
