"""``./scripts/appliance``. A command is imported when it is called, so that each starts quickly."""

from __future__ import annotations

import getpass
from importlib import import_module

import click

from appliance import __version__
from appliance.errors import ApplianceError
from appliance.log import actor_scope

COMMANDS = {
    "demo": "Start everything, send a bundled recording, print its detections.",
    "up": "Serve until interrupted.",
    "serve": "Run one part of the appliance, as the units of systemd do.",
    "prepare": "Make the data folder ready for the units of systemd.",
    "detect": "Find artifacts in recordings, without a server.",
    "bulk": "Analyze a folder or a bucket in shards, without a server.",
    "export": "Write the results of a job for other programs.",
    "report": "Write the report of a job, which prints.",
    "keys": "API keys: create, list, rotate, revoke.",
    "tenants": "Tenants: create, list, disable, enable.",
    "models": "The model store: list, show, add, verify.",
    "cluster": "The cluster of a box: its token, its nodes, drain one.",
    "node": "Let this machine work for a box: join.",
    "backup": "Write a backup to a folder, also while it runs.",
    "restore": "Make a data folder from a backup.",
    "verify": "Compare the database with object storage; repair it.",
    "audit": "Show who did what.",
    "logs": "Show what the processes logged about one request.",
    "doctor": "Check this machine and the appliance on it.",
}


class Commands(click.Group):
    """A group whose commands are in modules of the same name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and return it; None if it does not exist."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"appliance.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Run a command. A domain error is printed as one line on standard error, and the exit code is 1."""
        try:
            with actor_scope(f"{getpass.getuser()}, command line"):
                return super().invoke(ctx)
        except ApplianceError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="appliance")
def main() -> None:
    """Audio inference on one machine: recordings in, timestamped detections out."""


if __name__ == "__main__":
    main(prog_name="appliance")
