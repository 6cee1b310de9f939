"""``appliance logs``: the story of one request across the processes, from their logs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import click

from appliance.cli.database import data_dir_option
from appliance.config import load_settings
from appliance.errors import NotFound

OWN_KEYS = ("event", "timestamp", "level", "process", "request_id")


@dataclass(frozen=True, order=True)
class Entry:
    """A line of a log: when it was written, by which process, and what it says."""

    time: datetime
    process: str
    text: str


@click.command()
@click.option("--request", "request_id", required=True, help="Id of the request, from the header X-Request-ID.")
@click.argument("files", nargs=-1, type=click.File("rb"))
@data_dir_option
def logs(request_id: str, files: tuple[BinaryIO, ...], data_dir: Path | None) -> None:
    """Show what the processes logged about one request, in order: front door, API, worker, webhooks.

    Reads the logs of the data folder, or FILES; - is standard input, such as the output of journalctl -o cat.
    """
    folder = load_settings(data_dir=data_dir).data_dir / "logs"
    entries = list(_entries("", files, request_id) if files else _of_folder(folder, request_id))
    if not entries:
        raise NotFound(
            f"No log has a line about the request {request_id}. Old lines are deleted when a log is full. Services of "
            f"systemd log to the journal: journalctl -o cat -u 'appliance*' | appliance logs --request {request_id} -"
        )
    for entry in sorted(entries):
        click.echo(f"{entry.time:%Y-%m-%d %H:%M:%S.%f}  {entry.process:<10} {entry.text}")


def _of_folder(folder: Path, request_id: str) -> Iterator[Entry]:
    for path in sorted(folder.glob("*.log*")):
        with path.open("rb") as file:
            yield from _entries(path.name.partition(".")[0], [file], request_id)


def _entries(process: str, files: Iterable[BinaryIO], request_id: str) -> Iterator[Entry]:
    """Yield the entries about a request. Lines of other programs, which are no JSON, are passed over."""
    for line in (line for file in files for line in file):
        if request_id.encode() not in line:
            continue
        try:
            values = json.loads(line)
            if values["request_id"] == request_id:
                yield Entry(_time(values), values.get("process", process or "frontdoor"), _text(values))
        except (ValueError, KeyError, TypeError):
            continue


def _time(values: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(values.get("timestamp") or values["ts"]).astimezone(UTC)


def _text(values: dict[str, Any]) -> str:
    if "msg" in values:  # of the front door
        request = values.get("request", {})
        took = f"{1000 * values.get('duration', 0):.0f} ms"
        return f"{request.get('method')} {request.get('uri')}: {values.get('status')} in {took}"
    more = [f"{name}={value}" for name, value in values.items() if name not in OWN_KEYS]
    return " ".join([str(values["event"]), *more])
