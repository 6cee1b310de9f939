"""``./scripts/appliance``. Commands are imported when they are called, so that each starts at once."""

from __future__ import annotations

from importlib import import_module

import click

from appliance import __version__
from appliance.errors import ApplianceError

COMMANDS = {
    "demo": "Start everything, send a bundled recording, print what was heard.",
    "up": "Serve until interrupted.",
    "detect": "Find artefacts in recordings, without a server.",
    "keys": "API keys: create, list, revoke.",
    "models": "The model store: list, show, add, verify.",
    "doctor": "Check this machine and the appliance on it.",
}


class Commands(click.Group):
    """A group whose commands live in modules of the same name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"appliance.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; a domain error is one line on standard error and exit code 1."""
        try:
            return super().invoke(ctx)
        except ApplianceError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="appliance")
def main() -> None:
    """An appliance that listens: audio in, timestamped detections out, on one box."""


if __name__ == "__main__":
    main(prog_name="appliance")
