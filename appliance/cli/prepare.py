"""``appliance prepare``: makes the data folder ready for the units of systemd."""

from __future__ import annotations

import click

from appliance.config import load_settings
from appliance.log import configure_logging
from appliance.supervisor.supervisor import Supervisor


@click.command()
def prepare() -> None:
    """Make the data folder ready for the units of systemd: folders, database, storage, and the first key.

    `scripts/install` runs it while the appliance is stopped. It may be run again.
    """
    settings = load_settings()
    configure_logging(settings.log_level, "prepare")
    supervisor = Supervisor(settings)
    try:
        if first_key := supervisor.prepare():
            click.echo(f"API key of the tenant default, shown this once: {first_key}")
    finally:
        supervisor.stop()
