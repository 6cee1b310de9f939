"""``appliance verify``: compares the database with object storage, and repairs what can be repaired."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.database import data_dir_option
from appliance.cli.keeping import opened
from appliance.config import load_settings
from appliance.errors import DataFolderInUse
from appliance.services.keeping import verify as service
from appliance.text import counted

SHOWN = 50


@click.command()
@click.option("--quick", is_flag=True, help="Compare sizes and tags only; read no object.")
@click.option(
    "--repair", is_flag=True, help="Say what can be repaired, and do it if you agree. Stop the appliance first."
)
@click.option("--yes", is_flag=True, help="Repair without a question.")
@data_dir_option
def verify(quick: bool, repair: bool, yes: bool, data_dir: Path | None) -> None:
    """Compare the database with object storage: each row with its object, checksums, and objects that no row names.

    The exit code is 1 if something is wrong and was not repaired.
    """
    settings = load_settings(data_dir=data_dir)
    with opened(settings) as it:
        if repair and it.is_running:
            raise DataFolderInUse("Stop the appliance first: a repair must be the only one that writes.")
        findings = service.verify(it.box, reads_objects=not quick)
        click.echo(f"{findings.objects} objects that rows name were {'looked up' if quick else 'read'}.")
        _show("database", findings.database)
        _show("lost", [f"{named.key}, of {named.table} {named.row_id}" for named in findings.lost])
        _show("damaged", findings.damaged)
        _show("no row", findings.orphans)
        if findings.is_clean:
            click.echo("Everything agrees.")
            return
        steps = service.plan(findings) if repair else []
        if not steps:
            click.echo("Nothing of this can be repaired; use a backup." if repair else "Nothing was changed.")
            raise SystemExit(1)
        _show("will", steps)
        if not yes:
            click.confirm("Do this?", abort=True)
        service.repair(it.box, findings)
        left = service.verify(it.box, reads_objects=False)
    click.echo(f"Done: {counted(len(steps), 'repair')}.")
    raise SystemExit(0 if left.is_clean and not findings.damaged else 1)


def _show(name: str, lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        click.echo(f"{name:<9} {line}")
    if len(lines) > SHOWN:
        click.echo(f"{name:<9} and {len(lines) - SHOWN} more")
