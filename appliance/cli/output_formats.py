"""The output formats of ``detect``."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import click
from rich.console import Console
from rich.table import Table

from appliance.audacity import audacity_line
from appliance.engine.scoring.events import Detection


@dataclass(frozen=True)
class FileResult:
    """A file with its detections, or with the error that says why there are none."""

    file: str
    duration_ms: int | None
    detections: list[Detection]
    error: str | None


def print_table(results: list[FileResult]) -> None:
    """Print a table for people, and errors on standard error."""
    table = Table("file", "type", "start", "end", "confidence")
    for result in results:
        for detection in result.detections:
            start, end = clock(detection.start_ms), clock(detection.end_ms)
            table.add_row(result.file, detection.artifact_type, start, end, f"{detection.confidence:.2f}")
    Console().print(table)
    _print_errors(results)


def print_json(results: list[FileResult]) -> None:
    """Print one JSON document with all files."""
    click.echo(json.dumps({"files": [asdict(result) for result in results]}, indent=2))


def print_jsonl(results: list[FileResult]) -> None:
    """Print one line of JSON for each file."""
    for result in results:
        click.echo(json.dumps(asdict(result)))


def print_csv(results: list[FileResult]) -> None:
    """Print a row for each detection, and errors on standard error."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "artifact_type", "start_ms", "end_ms", "confidence"])
    for result in results:
        for d in result.detections:
            writer.writerow([result.file, d.artifact_type, d.start_ms, d.end_ms, d.confidence])
    _print_errors(results)


def print_audacity(results: list[FileResult]) -> None:
    """Print the label track of one recording, and errors on standard error."""
    for d in results[0].detections:
        click.echo(audacity_line(d.start_ms, d.end_ms, f"{d.artifact_type} {d.confidence:.2f}"))
    _print_errors(results)


FORMATS: dict[str, Callable[[list[FileResult]], None]] = {
    "table": print_table,
    "json": print_json,
    "jsonl": print_jsonl,
    "csv": print_csv,
    "audacity": print_audacity,
}


def clock(milliseconds: int) -> str:
    """Return a time in a recording as ``h:mm:ss.mmm``, or ``m:ss.mmm`` within the first hour."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{seconds:02}.{thousandths:03}"


def _print_errors(results: list[FileResult]) -> None:
    for result in results:
        if result.error:
            click.echo(f"{result.file}: {result.error}", err=True)
