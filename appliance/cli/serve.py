"""``appliance serve``: runs one process of the appliance, as the units of systemd do."""

from __future__ import annotations

import sys
from typing import get_args

import click

from appliance.config import load_settings
from appliance.log import configure_logging
from appliance.supervisor import unit


@click.command()
@click.argument("part", type=click.Choice(get_args(unit.Name)))
def serve(part: unit.Name) -> None:
    """Run one part of the appliance until it is stopped.

    The units of systemd start the parts one by one; `up` starts all of them. `prepare` must have run before.
    """
    settings = load_settings()
    configure_logging(settings.log_level, part)
    sys.exit(unit.serve(settings, part))
