"""``appliance cluster``: the token of a box, its nodes, and the end of a node."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from appliance.cli.database import data_dir_option, open_database
from appliance.config import load_settings
from appliance.services import cluster as service

WIDTH = 500  # in a narrow terminal rows are wrapped rather than cut


@click.group()
def cluster() -> None:
    """The cluster of a box: its token, its nodes, drain one."""


@cluster.command()
@data_dir_option
def token(data_dir: Path | None) -> None:
    """Print the token with which nodes join, and make it at the first call.

    Whoever has it can run programs on the box and on every node. Give it to a node by hand, in a file of mode 0600.
    """
    click.echo(service.make_token(load_settings(data_dir=data_dir).data_dir))


@cluster.command()
@data_dir_option
def status(data_dir: Path | None) -> None:
    """List the nodes, what each does, and why one takes no work."""
    table = Table("name", "address", "state", "engines", "busy", "files", "lost engines", "reason")
    for node in service.list_nodes(open_database(data_dir)):
        numbers = (node.engines, node.busy, node.files, node.lost_engines)
        table.add_row(node.name, node.address, node.state, *map(str, numbers), node.reason)
    Console(width=WIDTH).print(table)


@cluster.command()
@click.argument("name", metavar="NODE")
@data_dir_option
def drain(name: str, data_dir: Path | None) -> None:
    """Let a node end what it does and take no more, until it joins again."""
    for node in service.drain(open_database(data_dir), name):
        click.echo(f"{node.name} ({node.address}) takes no more work.")
