"""``appliance detect``: runs the engine without a server."""

from __future__ import annotations

import errno
import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from appliance.bulk import recordings
from appliance.bulk.analyzer import Analyzer, Outcome, open_session
from appliance.bulk.recordings import Recording
from appliance.cli.detect_progress import Progress
from appliance.cli.detection_options import detection_options
from appliance.cli.output_formats import FORMATS, FileResult, Writer
from appliance.cli.result_file import Held, open_results
from appliance.config import load_settings
from appliance.engine.decode.decoder import DecodeLimits
from appliance.engine.models.store import ModelStore, check_checksum
from appliance.engine.scoring.events import DetectionConfig
from appliance.engine.scoring.scorer import Scorer
from appliance.errors import FileUnreadable


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@detection_options
@click.option("--format", "output_format", type=click.Choice(list(FORMATS)), default="table", show_default=True)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, one result for each path. It must be empty or not exist, except with --resume.",
)
@click.option("--resume", is_flag=True, help="Skip the paths whose results the output file has. Needs jsonl.")
def detect(
    files: tuple[str, ...],
    model: str | None,
    threshold: float | None,
    merge_window_ms: int | None,
    min_duration_ms: int | None,
    output_format: str,
    output: Path | None,
    resume: bool,
) -> None:
    """Find artifacts in recordings.

    FILE is a recording, a folder, a pattern such as 'takes/**/*.wav', or - for a list of these on standard input, one
    on a line. Of a folder, the files with the suffix of a recording are taken, also in the folders below.

    jsonl and csv have each result as soon as its file ends. The others keep all results until the end.

    For a file that cannot be analysed, report the error and go on with the others; the exit code is then 1.
    """
    if resume and (output is None or output_format != "jsonl"):
        raise click.UsageError("--resume needs --format jsonl and --output.")
    stdin = sys.stdin.buffer if sys.stdin else io.BytesIO()  # None if the caller closed it
    inputs = recordings.expand(files, stdin)
    if output_format == "audacity":
        first = list(islice(inputs, 2))
        if len(first) > 1:
            raise click.UsageError("A label track of Audacity belongs to one recording: give one FILE.")
        inputs = iter(first)
    settings = load_settings()
    config = DetectionConfig(threshold, merge_window_ms, min_duration_ms)
    stored = ModelStore(settings.model_store).resolve(model or settings.default_model)
    check_checksum(stored)
    session = open_session(settings, stored)
    with _open_output(output, resume=resume) as (stream, held), Scorer(session) as scorer:
        if output:
            inputs = (recording for recording in inputs if held.paths.add(recording.path))
        writer = FORMATS[output_format](stream)
        live = not (writer.at_once and stream.isatty())  # else the results are in the way, and show how far it is
        progress = Progress(len(held.paths), held.num_failed, partial(recordings.count, files, stdin), live=live)
        with progress:
            analyzer = Analyzer(scorer, config, DecodeLimits.from_settings(settings), settings.decoders, progress)
            analyzer.analyze_all(enumerate(inputs), _open_item, _Results(writer).take)
        with _writing_errors():
            writer.close()
    raise SystemExit(1 if progress.num_failed else 0)


@contextmanager
def _open_output(path: Path | None, *, resume: bool) -> Iterator[tuple[TextIO, Held]]:
    """Yield the stream for the results, and what it holds. Raises ConfigurationError."""
    if path is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="surrogateescape")  # names of files may be anything
        yield sys.stdout, Held()
        return
    with open_results(path, resume=resume) as (file, held):
        stream = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape")
        try:
            yield stream, held
        finally:
            with suppress(OSError):  # all was flushed, or an error said why it was not
                stream.close()


class _Results:
    """Opens recordings, and passes their results to a writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._writing = threading.Lock()

    def take(self, item: tuple[int, Recording], outcome: Outcome) -> None:
        """Write a result."""
        place, (path, _) = item
        error = None if outcome.error is None else str(outcome.error)
        with self._writing, _writing_errors():
            self._writer.write(place, FileResult(path, outcome.duration_ms, outcome.detections, error))


def _open_item(item: tuple[int, Recording]) -> BinaryIO:
    _, (path, error) = item
    if error is not None:
        raise FileUnreadable(error)
    return recordings.open_recording(path)


@contextmanager
def _writing_errors() -> Iterator[None]:
    """Say in words why results cannot be written. A reader that went away (EPIPE) is click's to handle."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise click.ClickException(f"The results cannot be written: {error.strerror}.") from error
