"""The output formats of ``detect``.

A writer is called for one result at a time, in the order in which the files end. The formats for many files write each
result at once. The others are one document, so they keep the results and write them in the order of the files.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from typing import Protocol, TextIO

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


class Writer(Protocol):
    """Writes results to a stream, at once or all together when it is closed."""

    at_once: bool

    def __init__(self, stream: TextIO) -> None: ...

    def write(self, place: int, result: FileResult) -> None:
        """Take a result. ``place`` is the file's place in the order of the files."""

    def close(self) -> None:
        """Write what is still to be written. The stream stays open."""


class JsonlWriter:
    """One line of JSON for each file, at once."""

    at_once = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, place: int, result: FileResult) -> None:
        """Write a line, and pass it to the operating system: what ends this process then leaves it."""
        self._stream.write(json.dumps(asdict(result)) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: all is written."""


class CsvWriter:
    """A row for each detection, at once, and errors on standard error."""

    at_once = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rows = csv.writer(stream, lineterminator="\n")
        self._rows.writerow(["file", "artifact_type", "start_ms", "end_ms", "confidence", "source"])

    def write(self, place: int, result: FileResult) -> None:
        """Write the rows of a file."""
        for d in result.detections:
            self._rows.writerow([result.file, d.artifact_type, d.start_ms, d.end_ms, d.confidence, d.source])
        self._stream.flush()
        _print_error(result)

    def close(self) -> None:
        """Write the header, if there was no detection."""
        self._stream.flush()


class _Document:
    """Keeps the results, and writes them in the order of the files."""

    at_once = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._results: dict[int, FileResult] = {}

    def write(self, place: int, result: FileResult) -> None:
        """Keep a result."""
        self._results[place] = result

    def close(self) -> None:
        """Write the document."""
        self._write_all([result for _, result in sorted(self._results.items())])
        self._stream.flush()

    def _write_all(self, results: list[FileResult]) -> None:
        raise NotImplementedError


class TableWriter(_Document):
    """A table for people, and errors on standard error."""

    def _write_all(self, results: list[FileResult]) -> None:
        table = Table("file", "type", "start", "end", "confidence")
        for result in results:
            for detection in result.detections:
                start, end = clock(detection.start_ms), clock(detection.end_ms)
                table.add_row(result.file, detection.artifact_type, start, end, f"{detection.confidence:.2f}")
        Console(file=self._stream).print(table)
        for result in results:
            _print_error(result)


class JsonWriter(_Document):
    """One JSON document with all files."""

    def _write_all(self, results: list[FileResult]) -> None:
        self._stream.write(json.dumps({"files": [asdict(result) for result in results]}, indent=2) + "\n")


class AudacityWriter(_Document):
    """The label track of one recording, and errors on standard error."""

    def _write_all(self, results: list[FileResult]) -> None:
        for result in results:
            for d in result.detections:
                label = f"{d.artifact_type} {d.confidence:.2f}"
                self._stream.write(audacity_line(d.start_ms, d.end_ms, label) + "\n")
            _print_error(result)


FORMATS: dict[str, type[Writer]] = {
    "table": TableWriter,
    "json": JsonWriter,
    "jsonl": JsonlWriter,
    "csv": CsvWriter,
    "audacity": AudacityWriter,
}


def clock(milliseconds: int) -> str:
    """Return a time in a recording as ``h:mm:ss.mmm``, or ``m:ss.mmm`` within the first hour."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{seconds:02}.{thousandths:03}"


def _print_error(result: FileResult) -> None:
    if result.error:
        click.echo(f"{result.file}: {result.error}", err=True)
