"""The database of a data folder, for commands that need no running appliance."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.config import load_settings
from appliance.errors import ConfigurationError
from appliance.state.database import Database

data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Folder that holds all state.  [default: var]"
)


def open_database(data_dir: Path | None) -> Database:
    """Return the database of a data folder, up to date. Raises ConfigurationError if the folder cannot be made."""
    settings = load_settings(data_dir=data_dir)
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{settings.data_dir} cannot be made: {error.strerror}.") from error
    database = Database.of(settings)
    database.migrate()
    return database
