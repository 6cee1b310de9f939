"""``appliance restore``: makes a data folder from a backup."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.database import data_dir_option
from appliance.config import load_settings
from appliance.rfc3339 import rfc3339
from appliance.services.keeping import restore as service
from appliance.services.keeping.folder import BackupFolder
from appliance.state.database import Database
from appliance.storage.access import load_access
from appliance.storage.objects import ObjectStore
from appliance.supervisor.folders import lock_folder, make_folders
from appliance.supervisor.storage_alone import storage_running
from appliance.text import counted


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@data_dir_option
def restore(folder: Path, data_dir: Path | None) -> None:
    """Make a data folder from the backup in FOLDER. The data folder must have no appliance in it."""
    settings = load_settings(data_dir=data_dir)
    description = BackupFolder(folder).description()
    service.check_target(settings.data_dir)
    make_folders(settings.data_dir)
    with lock_folder(settings.data_dir), storage_running(settings):
        objects = ObjectStore(load_access(settings.data_dir))
        report = service.restore(folder, settings.data_dir, settings.model_store, objects, click.echo)
        Database.of(settings).migrate()
    click.echo(
        f"The appliance of {rfc3339(description.finished_at)} is in {settings.data_dir}: "
        f"{counted(report.objects, 'object')}, {counted(report.models, 'model')} that the store lacked."
    )
    if report.missing:
        click.echo(f"The backup was made without {counted(report.missing, 'object')} that storage lacked.", err=True)
    if not description.has_secrets:
        click.echo("The backup has no secrets: give the receivers of webhooks their new one.")
    click.echo(f"The settings of the old box are in {BackupFolder(folder).settings}; they are not in force here.")
