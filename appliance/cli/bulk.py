"""``appliance bulk``: analyzes folders and buckets of recordings, shard by shard, without a server."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import click

from appliance.bulk import plan as plans
from appliance.bulk import run as runs
from appliance.bulk.analyzer import open_session
from appliance.bulk.places import S3, open_output, open_source, source_name
from appliance.bulk.plan import SHARD_FILES, SUCCESS, Configuration, Plan
from appliance.bulk.shards import Totals
from appliance.cli.detect_progress import Progress
from appliance.cli.detection_options import detection_options
from appliance.config import load_settings
from appliance.engine.models.store import ModelStore, check_checksum
from appliance.engine.scoring.events import DetectionConfig
from appliance.engine.scoring.scorer import Scorer
from appliance.errors import ConfigurationError
from appliance.log import configure_logging
from appliance.state.nodes import Node
from appliance.text import counted


@click.group()
def bulk() -> None:
    """Analyze many recordings in shards, without a server.

    OUT, and the SRC of a plan, is a folder or a prefix of a bucket, s3://bucket/prefix. Buckets are at
    storage_endpoint of the settings.
    """


@bulk.command()
@click.argument("source", metavar="SRC")
@click.argument("out")
@detection_options
@click.option(
    "--shard-files",
    type=click.IntRange(1, 100_000),
    default=SHARD_FILES,
    show_default=True,
    help="Most recordings in a shard.",
)
def plan(
    source: str,
    out: str,
    model: str | None,
    threshold: float | None,
    merge_window_ms: int | None,
    min_duration_ms: int | None,
    shard_files: int,
) -> None:
    """List the recordings of SRC, and write to OUT how they will be analyzed.

    Of a folder, the files with the suffix of a recording are taken, also in the folders below; of a bucket, the
    objects with such a suffix whose keys start with the prefix. Nothing is analyzed yet. If OUT has a plan already,
    it must have the same configuration, and is not made again.
    """
    settings = load_settings()
    stored = ModelStore(settings.model_store).resolve(model or settings.default_model)
    check_checksum(stored)
    detection = DetectionConfig(threshold, merge_window_ms, min_duration_ms)
    configuration = Configuration.of(source_name(source), stored, detection, settings, shard_files)
    output = open_output(out, settings)
    made = plans.make_plan(output, open_source(configuration.source, settings), configuration)
    sizes = (made.files, "recording"), (made.bytes, "byte"), (len(made.shards), "shard")
    click.echo(f"{', '.join(counted(*size) for size in sizes)}.")


@bulk.command()
@click.argument("out")
@click.option(
    "--cluster", "on_cluster", is_flag=True, help="By the nodes of the cluster whose head is at cluster_listen here."
)
def run(out: str, on_cluster: bool) -> None:
    """Analyze the shards of OUT that are not done.

    A shard is done when its file in detections/ is there. So a run that was stopped or killed goes on with the same
    command. A recording that cannot be analyzed is a row with its error; the exit code is then 1.
    """
    settings = load_settings()
    output = open_output(out, settings)
    with _locked(out):
        made = plans.read_plan(output)
        done = runs.done_shards(made, output)
        missing = [number for number in range(len(made.shards)) if number not in done]
        before = runs.add(made, done.values())
        if missing:
            model = plans.planned_model(ModelStore(settings.model_store), made)
            progress = Progress(before.files, before.failed, lambda: made.files)
            if on_cluster:
                from appliance.worker.bulk_on_nodes import make_on_nodes  # much that a run here does not need

                configure_logging("error", "bulk")
                with progress, redirect_stdout(sys.stderr):  # Ray prints to it if a node is lost
                    make_on_nodes(settings, made, out, model, missing, progress, _NodeStates().show)
            else:
                source = open_source(made.configuration.source, settings)
                with Scorer(open_session(settings, model)) as scorer, progress:
                    runs.Shards(made, source, output, scorer, settings, progress).make(missing)
        totals = runs.finish(made, output)
    _show(made, totals)
    raise SystemExit(1 if totals.failed else 0)


@bulk.command()
@click.argument("out")
def status(out: str) -> None:
    """Show how far OUT is."""
    output = open_output(out, load_settings())
    made = plans.read_plan(output)
    done = runs.done_shards(made, output)
    is_complete = SUCCESS in output.names()
    configuration = made.configuration
    click.echo(f"{configuration.source}, {configuration.model}, {configuration.detection.choices or 'no options'}")
    click.echo(f"{len(done):,} of {len(made.shards):,} shards{', complete' if is_complete else ''}.")
    _show(made, runs.add(made, done.values()))


@bulk.command()
@click.argument("out")
def verify(out: str) -> None:
    """Compare every row of OUT with its plan. The exit code is 1 if something is wrong or missing."""
    output = open_output(out, load_settings())
    made = plans.read_plan(output)
    totals, wrong = runs.verify(made, output)
    for sentence in wrong:
        click.echo(sentence, err=True)
    _show(made, totals)
    raise SystemExit(1 if wrong else 0)


def _show(made: Plan, totals: Totals) -> None:
    hours = totals.audio_ms / 3_600_000
    click.echo(f"{totals.files:,} of {made.files:,} recordings, {totals.failed:,} failed, {hours:,.2f} hours of audio.")


class _NodeStates:
    """Says on standard error what changes at the nodes, and why one takes no work."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def show(self, nodes: list[Node]) -> None:
        """Say what is new."""
        states = {node.name: f"{node.state}: {node.reason}" if node.reason else node.state for node in nodes}
        for name in sorted(self._known.keys() - states.keys()):
            click.echo(f"Node {name}: left", err=True)
        for name, state in sorted(states.items()):
            if self._known.get(name) != state:
                click.echo(f"Node {name}: {state}", err=True)
        self._known = states


@contextmanager
def _locked(out: str) -> Iterator[None]:
    """Refuse a second run on the same folder. Two runs on a bucket do the same work twice, with the same result."""
    if out.startswith(S3):
        yield
        return
    try:
        with (Path(out) / plans.PLAN).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError:
        raise ConfigurationError(f"Another run writes to {out}.") from None
    except FileNotFoundError:
        yield  # there is no plan: reading it says so
