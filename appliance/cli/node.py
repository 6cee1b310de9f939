"""``appliance node``: lets this machine work for a box."""

from __future__ import annotations

import platform
import signal
import threading
from pathlib import Path

import click

from appliance.config import load_settings
from appliance.log import configure_logging
from appliance.supervisor.ray_node import Join, own_address, serve_node

PORT = "6379"


@click.group()
def node() -> None:
    """Let this machine work for a box: join."""


@node.command()
@click.argument("box")
@click.option(
    "--token-file",
    required=True,
    type=click.Path(path_type=Path),
    help="File with what `appliance cluster token` printed on the box. Only its owner may be able to read it.",
)
@click.option("--name", help="Name of this node in the status of the box.  [default: the name of this machine]")
@click.option("--listen", help="Address of this machine for the box.  [default: the one from which it reaches the box]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder for models and temporary files.")
def join(box: str, token_file: Path, name: str | None, listen: str | None, data_dir: Path | None) -> None:
    """Work for a box until interrupted. BOX is its address, and its port if that is not 6379.

    This machine analyzes recordings with an engine for each GPU, or with one. It needs the same appliance, Python and
    Ray as the box, and has no database and no keys of its own. If the box goes away, it joins again when it is back.
    """
    settings = load_settings(data_dir=data_dir)
    configure_logging(settings.log_level, "node")
    box = box if box.rpartition(":")[2].isdecimal() and ":" in box else f"{box}:{PORT}"
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    serve_node(settings, Join(box, name or platform.node(), listen or own_address(box), token_file), stopping)
