"""``appliance keys``: creates, lists, rotates and revokes API keys."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from appliance.cli.database import data_dir_option, open_database
from appliance.rfc3339 import rfc3339
from appliance.services import keys as service

WIDTH = 500  # of the longest row; in a narrow terminal rows are wrapped rather than cut


@click.group()
def keys() -> None:
    """API keys: create, list, rotate, revoke."""


@keys.command()
@click.argument("name")
@click.option(
    "--tenant",
    default=service.DEFAULT_TENANT,
    show_default=True,
    help="Tenant of the key. It is created if it does not exist.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(service.SCOPES),
    default=service.DEFAULT_SCOPES,
    show_default=True,
    help="What the key may do. Repeat the option for several scopes; write includes read.",
)
@click.option("--expires-days", type=float, help="Days after which the key is refused.  [default: never]")
@data_dir_option
def create(name: str, tenant: str, scopes: tuple[str, ...], expires_days: float | None, data_dir: Path | None) -> None:
    """Create a key and print it. It is shown only now: the appliance stores its hash."""
    click.echo(service.create_key(open_database(data_dir), name, tenant, scopes, expires_days))


@keys.command("list")
@data_dir_option
def list_(data_dir: Path | None) -> None:
    """List all keys, without their secrets. The last use is exact to a minute."""
    table = Table("name", "tenant", "scopes", "created", "expires", "last used", "revoked")
    for key in service.list_keys(open_database(data_dir)):
        times = (key.created_at, key.expires_at, key.last_used_at, key.revoked_at)
        table.add_row(key.name, key.tenant, " ".join(key.scopes), *(_time(time) for time in times))
    Console(width=WIDTH).print(table)


@keys.command()
@click.argument("name")
@click.option("--overlap-hours", type=float, default=24.0, show_default=True, help="How long the old key is let in.")
@data_dir_option
def rotate(name: str, overlap_hours: float, data_dir: Path | None) -> None:
    """Put a new key in the place of one and print it. The old one is let in a while more, under another name.

    `list` shows the last use of both: when the old one is no longer used, its clients have changed over.
    """
    database = open_database(data_dir)
    _, secret = service.rotate_key(database, service.find_key(database, name).id, overlap_hours)
    click.echo(secret)


@keys.command()
@click.argument("name")
@data_dir_option
def revoke(name: str, data_dir: Path | None) -> None:
    """Revoke a key, also the last one of an administrator. Requests with it are refused from now on."""
    database = open_database(data_dir)
    service.revoke_key(database, service.find_key(database, name).id, keep_administrator=False)
    click.echo(f"Revoked {name}.")


def _time(seconds: float | None) -> str:
    return "" if seconds is None else rfc3339(seconds)
