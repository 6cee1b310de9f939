"""``appliance tenants``: creates, lists, disables and enables tenants, and shows what they use of their quotas."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from appliance.cli.database import data_dir_option, open_database
from appliance.config import load_settings
from appliance.rfc3339 import rfc3339
from appliance.services import quotas
from appliance.services import tenants as service

WIDTH = 200  # of the longest row; in a narrow terminal rows are wrapped rather than cut


@click.group()
def tenants() -> None:
    """Tenants: create, list, usage, disable, enable."""


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
@click.argument("name", required=False)
@data_dir_option
def usage(name: str | None, data_dir: Path | None) -> None:
    """Show what each tenant, or the tenant NAME, uses of its quotas. Each quota is named as its setting."""
    settings, database = load_settings(data_dir=data_dir), open_database(data_dir)
    table = Table("tenant", "quota", "used", "allowed")
    for tenant in [service.find_tenant(database, name)] if name else service.list_tenants(database):
        for limit in quotas.limits(settings, database, tenant.id):
            allowed = "no limit" if limit.allowed is None else f"{limit.allowed:.0f}"
            table.add_row(tenant.name, limit.name, f"{limit.used:.0f}", allowed)
    Console(width=WIDTH).print(table)


@tenants.command()
@click.argument("name")
@click.option("--originals-days", type=float, help="Days after which recordings are deleted; 0 keeps them.")
@click.option("--scores-days", type=float, help="Days after which kept scores are deleted; 0 keeps them.")
@click.option("--results-days", type=float, help="Days after which jobs and transcripts are deleted; 0 keeps them.")
@data_dir_option
def retention(
    name: str,
    originals_days: float | None,
    scores_days: float | None,
    results_days: float | None,
    data_dir: Path | None,
) -> None:
    """Set the days of retention of a tenant. What is left out has the setting of the appliance from now on."""
    database = open_database(data_dir)
    tenant = service.find_tenant(database, name)
    service.set_retention(database, tenant.id, originals_days, scores_days, results_days)
    click.echo(f"Set the retention of {name}.")


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
