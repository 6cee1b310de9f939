"""``appliance detect``: runs the engine without a server."""

from __future__ import annotations

import math
import os
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from appliance.cli.output_formats import FORMATS, FileResult
from appliance.config import Settings, load_settings
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.models.manifest import MAX_MERGE_WINDOW_MS, MAX_MIN_DURATION_MS
from appliance.engine.models.session import Session, choose_provider
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
@click.option("--format", "output", type=click.Choice(list(FORMATS)), default="table", show_default=True)
def detect(
    files: tuple[str, ...],
    model: str | None,
    threshold: float | None,
    merge_window_ms: int | None,
    min_duration_ms: int | None,
    output: str,
) -> None:
    """Find artifacts in recordings.

    For a file that cannot be analysed, print the error and go on with the others; the exit code is then 1.
    """
    if output == "audacity" and len(files) > 1:
        raise click.UsageError("A label track of Audacity belongs to one recording: give one FILE.")
    settings = load_settings()
    config = DetectionConfig(threshold, merge_window_ms, min_duration_ms)
    stored = ModelStore(settings.model_store).resolve(model or settings.default_model)
    check_checksum(stored)
    session = Session(stored, choose_provider(settings.provider), settings.batch_size)
    with Scorer(session) as scorer:
        results = _analyse_all(files, scorer, config, settings)
    FORMATS[output](results)
    raise SystemExit(1 if any(result.error for result in results) else 0)


def _analyse_all(
    files: tuple[str, ...], scorer: Scorer, config: DetectionConfig, settings: Settings
) -> list[FileResult]:
    """Analyse files in parallel, each lane with its own decoder process. Returns results in the order of the files."""
    lanes = min(settings.decoders or len(os.sched_getaffinity(0)), len(files))
    decoders: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
    with ExitStack() as stack, _progress(len(files)) as progress, ThreadPoolExecutor(lanes) as pool:
        for _ in range(lanes):
            decoders.put(stack.enter_context(Decoder(DecodeLimits.from_settings(settings))))

        def analyse_one(file: str) -> FileResult:
            decoder = decoders.get()
            try:
                with open(file, "rb") as recording:
                    analysis = analyse(recording, decoder, scorer, config, progress.tick)
                return FileResult(file, analysis.duration_ms, analysis.detections, None)
            except ApplianceError as error:
                return FileResult(file, None, [], str(error))
            except OSError as error:
                return FileResult(file, None, [], f"The file cannot be read: {error.strerror}.")
            finally:
                decoders.put(decoder)
                progress.finish_file()

        return list(pool.map(analyse_one, files))


class _Bar:
    """The progress bar over the files. It is shown only on a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def tick(self, seconds: float) -> None:
        """Show how far into a recording the engine is."""
        self._progress.update(self._task, position=f"{seconds / 60:.1f} min in")

    def finish_file(self) -> None:
        """Count a file."""
        self._progress.advance(self._task)


@contextmanager
def _progress(num_files: int) -> Iterator[_Bar]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.completed}/{task.total} files"), BarColumn(), TextColumn("{task.fields[position]}"))
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield _Bar(progress, progress.add_task("", total=num_files, position=""))
