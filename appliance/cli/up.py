"""``appliance up``: runs the appliance until it is interrupted."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

import click

from appliance.config import load_settings
from appliance.log import configure_logging
from appliance.supervisor.supervisor import Supervisor


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 chooses a free one.  [default: 8080]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder that holds all state.  [default: var]")
def up(host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Serve until interrupted."""
    settings = load_settings(host=host, port=port, data_dir=data_dir)
    configure_logging(settings.log_level, "supervisor")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with Supervisor(settings) as supervisor:
            for notice in supervisor.notices:
                click.echo(notice)
            if supervisor.first_key:
                click.echo(f"API key of the tenant default, shown this once: {supervisor.first_key}")
            click.echo(f"Ready at {supervisor.url}")
            try:
                supervisor.watch()
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):  # nothing may interrupt the stop
                    signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:
        click.echo("Stopped.")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
