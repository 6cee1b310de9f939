"""``appliance audit``: shows who did what."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from appliance.cli.database import data_dir_option, open_database
from appliance.rfc3339 import rfc3339
from appliance.services import audit as service

WIDTH = 500  # of the longest row; in a narrow terminal rows are wrapped rather than cut


@click.command()
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Number of acts, newest first.")
@data_dir_option
def audit(limit: int, data_dir: Path | None) -> None:
    """Show who did what, by API and command line: keys, tenants, secrets, models, backups, and deletions."""
    entries, _ = service.list_entries(open_database(data_dir), before=None, limit=limit)
    table = Table("time", "who", "did", "to", "request")
    for entry in entries:
        table.add_row(rfc3339(entry.at), entry.actor, entry.action, entry.subject, entry.request_id or "")
    Console(width=WIDTH).print(table)
