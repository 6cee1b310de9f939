"""``appliance backup``: writes a backup while the appliance runs."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.database import data_dir_option
from appliance.cli.keeping import opened
from appliance.config import load_settings
from appliance.services.keeping import backup as service


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--secrets", is_flag=True, help="Also keep the secrets that sign webhooks, and headers of clients.")
@data_dir_option
def backup(folder: Path, secrets: bool, data_dir: Path | None) -> None:
    """Write a backup to FOLDER, or bring the one in it up to date: database, objects, models and settings.

    The appliance may run. The exit code is 1 if storage lacks objects that the database names.
    """
    settings = load_settings(data_dir=data_dir)
    with opened(settings) as it:
        report = service.backup(it.box, folder, with_secrets=secrets, say=click.echo)
    click.echo(f"{report.objects} objects, of which {report.copied} ({report.copied_bytes} bytes) were copied now.")
    for key in report.missing:
        click.echo(f"Storage lacks {key}.", err=True)
    click.echo(f"The backup in {folder} is complete{'' if not report.missing else ', but for what storage lacks'}.")
    raise SystemExit(1 if report.missing else 0)
