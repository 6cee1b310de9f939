"""``appliance detect``: runs the engine without a server."""

from __future__ import annotations

import errno
import io
import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from appliance.cli import recordings
from appliance.cli.detect_progress import Progress
from appliance.cli.lanes import Lanes
from appliance.cli.output_formats import FORMATS, FileResult, Writer
from appliance.cli.recordings import Recording
from appliance.cli.result_file import Held, open_results
from appliance.config import Settings, load_settings
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models.calibration import parallel_of
from appliance.engine.models.gpu_options import GpuOptions
from appliance.engine.models.manifest import MAX_MERGE_WINDOW_MS, MAX_MIN_DURATION_MS
from appliance.engine.models.runtime import choose_provider
from appliance.engine.models.session import Session
from appliance.engine.models.store import ModelStore, check_checksum
from appliance.engine.scoring.detector import analyse
from appliance.engine.scoring.events import DetectionConfig
from appliance.engine.scoring.scorer import Scorer
from appliance.errors import ApplianceError


def _refuse_nan(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse nan, which passes every check of a range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not in the range 0<=x<=1.")
    return value


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--model", help="<name> or <name>@<version>.  [default: artifacts]")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    callback=_refuse_nan,
    help="Lowest confidence to report.",
)
@click.option(
    "--merge-window-ms",
    type=click.IntRange(0, MAX_MERGE_WINDOW_MS),
    help="Merge detections of the same type that are at most this far apart.",
)
@click.option(
    "--min-duration-ms",
    type=click.IntRange(0, MAX_MIN_DURATION_MS),
    help="Drop shorter detections; a point such as a click counts as at least 50 ms long.",
)
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
    provider = choose_provider(settings.provider)
    how = GpuOptions.from_settings(settings) if provider == "cuda" else parallel_of(settings, stored)
    session = Session(stored, provider, settings.batch_size, how)
    with _open_output(output, resume=resume) as (stream, held), Scorer(session) as scorer:
        if output:
            inputs = (recording for recording in inputs if held.paths.add(recording.path))
        writer = FORMATS[output_format](stream)
        live = not (writer.at_once and stream.isatty())  # else the results are in the way, and show how far it is
        progress = Progress(len(held.paths), held.num_failed, partial(recordings.count, files, stdin), live=live)
        with progress:
            _Run(scorer, config, writer, progress, settings).analyse_all(inputs)
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


class _Run:
    """Analyses recordings with one model and one configuration, and passes the results to a writer."""

    def __init__(
        self, scorer: Scorer, config: DetectionConfig, writer: Writer, progress: Progress, settings: Settings
    ) -> None:
        self._scorer = scorer
        self._config = config
        self._writer = writer
        self._writing = threading.Lock()
        self._progress = progress
        num_lanes = settings.decoders or len(os.sched_getaffinity(0))
        self._lanes = Lanes(num_lanes, DecodeLimits.from_settings(settings), self._handle)

    def analyse_all(self, inputs: Iterator[Recording]) -> None:
        """Analyse recordings in parallel, and write each result when its recording ends."""
        num_inputs = 0
        with self._lanes:
            for recording in inputs:
                self._lanes.submit(num_inputs, recording)
                num_inputs += 1
            self._progress.end_inputs(num_inputs)

    def _handle(self, place: int, recording: Recording, decoder: Decoder) -> None:
        result = self._analyse(recording, decoder)
        with self._writing, _writing_errors():
            self._writer.write(place, result)
        self._progress.end_file(failed=result.error is not None)

    def _analyse(self, recording: Recording, decoder: Decoder) -> FileResult:
        path, error = recording
        position = 0.0

        def checkpoint(seconds: float) -> None:
            nonlocal position
            self._lanes.check()
            self._progress.hear(seconds - position)
            position = seconds

        if error is None:
            try:
                with _open_recording(path) as file:
                    analysis = analyse(file, decoder, self._scorer, self._config, checkpoint)
                self._progress.hear(analysis.duration_ms / 1000 - position)
                return FileResult(path, analysis.duration_ms, analysis.detections, None)
            except ApplianceError as problem:
                error = str(problem)
            except OSError as problem:
                error = f"The file cannot be read: {problem.strerror}."
        return FileResult(path, None, [], error)


def _open_recording(path: str) -> BinaryIO:
    """Open a file. A named pipe is opened without waiting for its other end. Raises OSError."""
    if "\0" in path:
        raise FileNotFoundError(errno.ENOENT, "No path has a NUL character")
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


@contextmanager
def _writing_errors() -> Iterator[None]:
    """Say in words why results cannot be written. A reader that went away (EPIPE) is click's to handle."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise click.ClickException(f"The results cannot be written: {error.strerror}.") from error
