"""The formats that ``detect`` prints."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import click
from rich.console import Console
from rich.table import Table

from appliance.engine.scoring.events import Detection


@dataclass(frozen=True)
class FileResult:
    """A file with its detections, or with the sentence that says why there are none."""

    file: str
    duration_ms: int | None
    detections: list[Detection]
    error: str | None


def print_table(results: list[FileResult]) -> None:
    """A table for people; errors on standard error."""
    table = Table("file", "type", "start", "end", "confidence")
    for result in results:
        for found in result.detections:
            table.add_row(
                result.file,
                found.artifact_type,
                clock(found.start_ms),
                clock(found.end_ms),
                f"{found.confidence:.2f}",
            )
    Console().print(table)
    _print_errors(results)


def print_json(results: list[FileResult]) -> None:
    """One document."""
    click.echo(json.dumps({"files": [asdict(result) for result in results]}, indent=2))


def print_jsonl(results: list[FileResult]) -> None:
    """A line for each file."""
    for result in results:
        click.echo(json.dumps(asdict(result)))


def print_csv(results: list[FileResult]) -> None:
    """A row for each detection; errors on standard error."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "artifact_type", "start_ms", "end_ms", "confidence"])
    for result in results:
        for found in result.detections:
            writer.writerow([result.file, found.artifact_type, found.start_ms, found.end_ms, found.confidence])
    _print_errors(results)


def print_audacity(results: list[FileResult]) -> None:
    """A label track of one recording: start and end in seconds, and the label; errors on standard error."""
    for found in results[0].detections:
        label = f"{found.artifact_type} {found.confidence:.2f}"
        click.echo(f"{found.start_ms / 1000:.6f}\t{found.end_ms / 1000:.6f}\t{label}")
    _print_errors(results)


FORMATS: dict[str, Callable[[list[FileResult]], None]] = {
    "table": print_table,
    "json": print_json,
    "jsonl": print_jsonl,
    "csv": print_csv,
    "audacity": print_audacity,
}


def clock(milliseconds: int) -> str:
    """A time in a recording as ``h:mm:ss.mmm``, or ``m:ss.mmm`` within the first hour."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{seconds:02}.{thousandths:03}"


def _print_errors(results: list[FileResult]) -> None:
    for result in results:
        if result.error:
            click.echo(f"{result.file}: {result.error}", err=True)
