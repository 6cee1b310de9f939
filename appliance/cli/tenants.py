"""``appliance tenants``: creates, lists, disables and enables tenants."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from appliance.cli.database import data_dir_option, open_database
from appliance.rfc3339 import rfc3339
from appliance.services import tenants as service


@click.group()
def tenants() -> None:
    """Tenants: create, list, disable, enable."""


@tenants.command()
@click.argument("name")
@data_dir_option
def create(name: str, data_dir: Path | None) -> None:
    """Create a tenant without a key. `keys create --tenant` also creates its tenant."""
    click.echo(f"Created {service.create_tenant(open_database(data_dir), name).name}.")


@tenants.command("list")
@data_dir_option
def list_(data_dir: Path | None) -> None:
    """List all tenants."""
    table = Table("name", "created", "disabled")
    for tenant in service.list_tenants(open_database(data_dir)):
        disabled = "" if tenant.disabled_at is None else rfc3339(tenant.disabled_at)
        table.add_row(tenant.name, rfc3339(tenant.created_at), disabled)
    Console().print(table)


@tenants.command()
@click.argument("name")
@data_dir_option
def disable(name: str, data_dir: Path | None) -> None:
    """Refuse all keys of a tenant from now on. Its data stays."""
    database = open_database(data_dir)
    service.disable_tenant(database, service.find_tenant(database, name).id, keep_administrator=False)
    click.echo(f"Disabled {name}.")


@tenants.command()
@click.argument("name")
@data_dir_option
def enable(name: str, data_dir: Path | None) -> None:
    """Let the keys of a tenant in again."""
    database = open_database(data_dir)
    service.enable_tenant(database, service.find_tenant(database, name).id)
    click.echo(f"Enabled {name}.")
