"""The metrics of all processes as one page for Prometheus.

Each process counts for itself (``appliance/metrics.py``). The worker writes its figures to a file every WRITE_SECONDS;
the API adds its own, those of storage and of the front door, and what the state, the disk and the checks say. No query
here reads more rows than there are kinds of work, so a page costs the same however much is stored.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from prometheus_client import generate_latest, write_to_textfile
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from appliance import __version__
from appliance.errors import ApplianceError
from appliance.frontdoor.figures import figures_socket, read_figures
from appliance.metrics import REGISTRY
from appliance.services.box import Box
from appliance.services.health import STATUSES, Health
from appliance.state import nodes, workers
from appliance.state import work as queue

WRITE_SECONDS = 5.0
SUFFIX = ".prom"
STALE_SECONDS = 60.0  # figures this old are of a process that hangs or is gone


def write(data_dir: Path, process: str) -> None:
    """Write this process's figures for the page. Raises OSError."""
    write_to_textfile(str(_folder(data_dir) / f"{process}{SUFFIX}"), REGISTRY)


def page(box: Box, health: Health) -> bytes:
    """Return the page in Prometheus' text format."""
    return generate_latest(_Page(box, health))


class _Page(Collector):
    """The families of all processes, each family once: its samples have a label for the process."""

    def __init__(self, box: Box, health: Health) -> None:
        self._box = box
        self._health = health
        self._answered = GaugeMetricFamily(
            "appliance_server_figures", "1 if storage or the front door gave its own metrics.", labels=["process"]
        )

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for process, metrics in (*self._processes(), *self._servers()):
            for metric in metrics:
                family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                family.samples += [_labelled(sample, process) for sample in metric.samples]
        yield from families.values()
        yield self._answered
        yield from _status(self._health)
        yield from _disk(self._box)
        try:
            yield from _state(self._box)
        except ApplianceError:  # the check of the database says why
            return

    def _servers(self) -> Iterator[tuple[str, Iterable[Metric]]]:
        """Yield what storage and the front door give, if they do; note whether they did."""
        socket = figures_socket(self._box.settings.data_dir)
        for process, read in (("storage", self._box.objects.figures), ("frontdoor", partial(read_figures, socket))):
            try:
                metrics = read()
            except (ApplianceError, OSError, ValueError):
                self._answered.add_metric([process], 0)
                continue
            if metrics is not None:  # SeaweedFS and an external storage give none
                self._answered.add_metric([process], 1)
                yield process, metrics

    def _processes(self) -> Iterator[tuple[str, Iterable[Metric]]]:
        yield "api", REGISTRY.collect()
        for file in sorted(_folder(self._box.settings.data_dir).glob(f"*{SUFFIX}")):
            if time.time() - file.stat().st_mtime < STALE_SECONDS:
                yield file.stem, text_string_to_metric_families(file.read_text(encoding="utf-8"))


def _labelled(sample: Sample, process: str) -> Sample:
    return sample._replace(labels={**sample.labels, "process": process})


def _status(health: Health) -> Iterator[Metric]:
    status = health.status()
    states = GaugeMetricFamily("appliance_status", "1 for the status that the appliance has.", labels=["status"])
    for state in STATUSES:
        states.add_metric([state], float(state == status.name))
    yield states
    checks = GaugeMetricFamily("appliance_check_ok", "1 if a check passes; a warning passes.", labels=["check"])
    warnings = GaugeMetricFamily("appliance_check_warning", "1 if a check warns.", labels=["check"])
    for name, check in health.check_all().items():
        checks.add_metric([name], float(check.ok))
        warnings.add_metric([name], float(check.is_warning))
    yield from (checks, warnings)


def _disk(box: Box) -> Iterator[Metric]:
    disk = shutil.disk_usage(box.settings.data_dir)
    yield GaugeMetricFamily("appliance_disk_bytes", "Size of the data folder's disk.", disk.total)
    yield GaugeMetricFamily("appliance_disk_free_bytes", "Free space on the data folder's disk.", disk.free)
    watermarks = GaugeMetricFamily(
        "appliance_disk_watermark_bytes", "Free space below which there is a warning, or no upload.", labels=["level"]
    )
    watermarks.add_metric(["warning"], box.settings.warn_free_bytes)
    watermarks.add_metric(["refusal"], box.settings.least_free_bytes)
    yield watermarks
    sizes = GaugeMetricFamily("appliance_database_bytes", "Size of the database.", labels=["file"])
    for name, path in (("main", box.db.path), ("wal", box.db.path.with_name(f"{box.db.path.name}-wal"))):
        sizes.add_metric([name], path.stat().st_size if path.exists() else 0)
    yield sizes


def _state(box: Box) -> Iterator[Metric]:
    pieces = GaugeMetricFamily("appliance_queue_pieces", "Queued work by kind and state.", labels=["kind", "state"])
    oldest = GaugeMetricFamily(
        "appliance_queue_oldest_seconds", "How long the oldest ready work of a kind has waited.", labels=["kind"]
    )
    for depth in queue.depths(box.db):
        for state, number in (("ready", depth.ready), ("put_off", depth.put_off), ("busy", depth.busy)):
            pieces.add_metric([depth.kind, state], number)
        oldest.add_metric([depth.kind], depth.oldest_seconds)
    yield from (pieces, oldest)
    if everyone := workers.everyone(box.db):
        silent = GaugeMetricFamily(
            "appliance_worker_silent_seconds",
            "Time since a worker's last sign of life; there is one worker, or one for each GPU.",
            labels=["provider", "worker"],
        )
        for worker in everyone:
            silent.add_metric([worker.provider, str(worker.number)], worker.silent_seconds)
        yield silent
    if box.settings.executor == "ray":
        yield from _nodes(box)
    version = GaugeMetricFamily("appliance_info", "The release.", labels=["version"])
    version.add_metric([__version__], 1)
    yield version


def _nodes(box: Box) -> Iterator[Metric]:
    """The names are those that the operator gave to machines."""
    families = [
        GaugeMetricFamily("appliance_node_engines", "Engines of a node that are ready.", labels=["node", "state"]),
        GaugeMetricFamily("appliance_node_busy_files", "Files that a node has now.", labels=["node", "state"]),
        GaugeMetricFamily(
            "appliance_node_lost_engines", "Engines of a node that were lost since it joined.", labels=["node", "state"]
        ),
    ]
    for node in nodes.list_nodes(box.db):
        for family, number in zip(families, (node.engines, node.busy, node.lost_engines), strict=True):
            family.add_metric([node.name, node.state], number)
    yield from families


def _folder(data_dir: Path) -> Path:
    return data_dir / "run"
