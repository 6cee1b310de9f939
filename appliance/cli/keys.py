"""``appliance keys``: creates, lists and revokes API keys."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from appliance.config import load_settings
from appliance.errors import ConfigurationError
from appliance.rfc3339 import rfc3339
from appliance.services import keys as service
from appliance.state.database import Database

data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Folder that holds all state.  [default: var]"
)


@click.group()
def keys() -> None:
    """API keys: create, list, revoke."""


@keys.command()
@click.argument("name")
@click.option(
    "--tenant",
    default=service.DEFAULT_TENANT,
    show_default=True,
    help="Tenant of the key. It is created if it does not exist.",
)
@data_dir_option
def create(name: str, tenant: str, data_dir: Path | None) -> None:
    """Create a key and print it. It is shown only now: the appliance stores its hash."""
    click.echo(service.create_key(_database(data_dir), name, tenant))


@keys.command("list")
@data_dir_option
def list_(data_dir: Path | None) -> None:
    """List all keys, without their secrets."""
    table = Table("name", "tenant", "created", "revoked")
    for key in service.list_keys(_database(data_dir)):
        table.add_row(key.name, key.tenant, rfc3339(key.created_at), rfc3339(key.revoked_at) if key.revoked_at else "")
    Console().print(table)


@keys.command()
@click.argument("name")
@data_dir_option
def revoke(name: str, data_dir: Path | None) -> None:
    """Revoke a key. Requests with it are refused from now on."""
    service.revoke_key(_database(data_dir), name)
    click.echo(f"Revoked {name}.")


def _database(data_dir: Path | None) -> Database:
    settings = load_settings(data_dir=data_dir)
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{settings.data_dir} cannot be made: {error.strerror}.") from error
    database = Database.of(settings)
    database.migrate()
    return database
