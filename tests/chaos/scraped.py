"""What a long run scrapes from ``/metrics``: figures over time, as CSV and as a picture.

The dashboard for Grafana (``monitoring/dashboard.json``) shows the same figures.
"""

from __future__ import annotations

import csv
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Literal

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support.appliances import Appliance

SCRAPE_SECONDS = 15.0
TIMEOUT_SECONDS = 10.0
COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")
WIDTH, HEIGHT, COLUMNS = 560, 230, 2  # of a panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 28, 24  # space around its lines; the legend is at the right
MIB = 1024**2

Point = tuple[float, float]  # seconds since the start of the run, value


@dataclass(frozen=True)
class Panel:
    """Some metrics to draw together. ``by`` are the labels that tell its lines apart; the others are added up.

    A "rate" is a counter's increase per second, a "mean" the mean of a histogram's observations since the last scrape.
    """

    title: str
    metric: str
    by: tuple[str, ...]
    kind: Literal["value", "rate", "mean"] = "value"
    unit: float = 1.0

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the samples that it needs."""
        return (f"{self.metric}_sum", f"{self.metric}_count") if self.kind == "mean" else (self.metric,)


PANELS = (
    Panel("Memory of the processes, MiB", "process_resident_memory_bytes", ("process",), unit=MIB),
    Panel("Open files of the processes", "process_open_fds", ("process",)),
    Panel("CPU seconds per second", "process_cpu_seconds_total", ("process",), "rate"),
    Panel("Queued work", "appliance_queue_pieces", ("kind",)),
    Panel("Age of the oldest ready work, s", "appliance_queue_oldest_seconds", ("kind",)),
    Panel("Work that ended, per second", "appliance_work_total", ("kind", "result"), "rate"),
    Panel("Audio analyzed, seconds per second", "appliance_audio_seconds_total", ("kind",), "rate"),
    Panel("Time of a stage, mean, ms", "appliance_stage_seconds", ("stage",), "mean", 0.001),
    Panel("Fill of a batch, mean", "appliance_batch_fill_ratio", ("model",), "mean"),
    Panel("Threads at work", "appliance_busy_threads", ("pool",)),
    Panel("Calls of the API, per second", "appliance_http_requests_total", ("status",), "rate"),
    Panel("Time of a call of the API, mean, ms", "appliance_http_request_seconds", (), "mean", 0.001),
    Panel("Attempts to deliver a webhook, per second", "appliance_webhook_attempts_total", ("result",), "rate"),
    Panel("Wait of a writer, mean, ms", "appliance_database_wait_seconds", ("process",), "mean", 0.001),
    Panel("Database, MiB", "appliance_database_bytes", ("file",), unit=MIB),
    Panel("Free space of the disk, GiB", "appliance_disk_free_bytes", (), unit=1024 * MIB),
    Panel("Memory of storage, MiB", "minio_node_process_resident_memory_bytes", (), unit=MIB),
    Panel("Calls of storage, per second", "minio_s3_requests_total", ("api",), "rate"),
    Panel("Calls of the front door, per second", "caddy_http_request_duration_seconds_count", ("code",), "rate"),
    Panel("Time of a call of the front door, mean, ms", "caddy_http_request_duration_seconds", (), "mean", 0.001),
    Panel("Decoders that died", "appliance_decoder_deaths_total", ()),
    Panel("Checks that pass", "appliance_check_ok", ()),
)


@dataclass
class Scraped:
    """The scrapes of a run: for each its time, and the values of the drawn samples by name and labels.

    ``misses`` counts scrapes that got no page.
    """

    scrapes: list[tuple[float, dict[str, dict[tuple[tuple[str, str], ...], float]]]] = field(default_factory=list)
    misses: int = 0

    def add(self, seconds: float, page: str) -> None:
        """Add a page that was scraped ``seconds`` after the start."""
        drawn = {name for panel in PANELS for name in panel.metrics}
        samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = defaultdict(dict)
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name in drawn:
                    samples[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
        self.scrapes.append((seconds, samples))

    def lines(self, panel: Panel) -> dict[str, list[Point]]:
        """Return the lines of a panel by their label."""
        sums = [self._summed(panel, name) for name in panel.metrics]
        if panel.kind == "value":
            lines = sums[0]
        elif panel.kind == "rate":
            lines = {label: list(_rates(points)) for label, points in sums[0].items()}
        else:
            lines = {label: list(_means(points, sums[1][label])) for label, points in sums[0].items()}
        return {label: [(at, value / panel.unit) for at, value in points] for label, points in lines.items() if points}

    def _summed(self, panel: Panel, name: str) -> dict[str, list[Point]]:
        summed: dict[str, list[Point]] = defaultdict(list)
        for seconds, samples in self.scrapes:
            values: dict[str, float] = defaultdict(float)
            for labels, value in samples.get(name, {}).items():
                chosen = dict(labels)
                values[" ".join(chosen[label] for label in panel.by if label in chosen) or "all"] += value
            for label, value in values.items():
                summed[label].append((seconds, value))
        return summed

    def write_csv(self, path: Path) -> None:
        """Write every drawn point: panel, line, seconds since the start, value."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["panel", "line", "seconds", "value"])
            for panel in PANELS:
                for label, points in self.lines(panel).items():
                    writer.writerows([panel.title, label, f"{at:.1f}", f"{value:.6g}"] for at, value in points)

    def write_svg(self, path: Path) -> None:
        """Draw every panel that has lines."""
        panels = [(panel, lines) for panel in PANELS if (lines := self.lines(panel))]
        rows = -(-len(panels) // COLUMNS)
        size = f'width="{COLUMNS * WIDTH}" height="{rows * HEIGHT}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
            '<rect width="100%" height="100%" fill="white"/>',
        ]
        for number, (panel, lines) in enumerate(panels):
            x, y = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT
            parts += [f'<g transform="translate({x},{y})">', *_drawn(panel.title, lines), "</g>"]
        path.write_text("\n".join([*parts, "</svg>", ""]))


@contextmanager
def scraping(appliance: Appliance, every_seconds: float = SCRAPE_SECONDS) -> Iterator[Scraped]:
    """Scrape the page of metrics until the block ends, as Prometheus does: with a key that may read nothing else."""
    options = ("--tenant", "monitoring", "--scope", "metrics", "--data-dir", str(appliance.data_dir))
    headers = {"Authorization": f"Bearer {appliance.command('keys', 'create', 'prometheus', *options)}"}
    scraped, started, stopping = Scraped(), time.monotonic(), threading.Event()

    def scrape() -> None:
        while True:
            try:
                response = requests.get(f"{appliance.url}/metrics", headers=headers, timeout=TIMEOUT_SECONDS)
                response.raise_for_status()
                scraped.add(time.monotonic() - started, response.text)
            except requests.RequestException:
                scraped.misses += 1
            if stopping.wait(every_seconds):
                return

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield scraped
    finally:
        stopping.set()
        thread.join()


def _rates(points: list[Point]) -> Iterator[Point]:
    """Return the increase per second between two points; a counter that went back began at 0 again."""
    for (earlier, before), (at, value) in itertools.pairwise(points):
        yield at, (value - before if value >= before else value) / (at - earlier)


def _means(sums: list[Point], counts: list[Point]) -> Iterator[Point]:
    """Return the mean of what was observed between two points; no point if nothing was."""
    for (at, sum_rate), (_, count_rate) in zip(_rates(sums), _rates(counts), strict=True):
        if count_rate > 0:
            yield at, sum_rate / count_rate


def _drawn(title: str, lines: dict[str, list[Point]]) -> Iterator[str]:
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    last = max(at for points in lines.values() for at, _ in points) or 1.0
    most = max(value for points in lines.values() for _, value in points) or 1.0
    yield f'<text x="{LEFT}" y="18" font-weight="bold">{escape(title)}</text>'
    for share in (0.0, 0.5, 1.0):
        y = TOP + height * (1 - share)
        yield f'<line x1="{LEFT}" x2="{LEFT + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{share * most:.4g}</text>'
        x = LEFT + width * share
        yield f'<text x="{x:.1f}" y="{TOP + height + 15}" text-anchor="middle">{share * last / 60:.3g} min</text>'
    highest = sorted(lines.items(), key=lambda line: -max(value for _, value in line[1]))
    for number, (label, points) in enumerate(highest[: len(COLORS)]):
        color = COLORS[number]
        path = " ".join(
            f"{LEFT + width * at / last:.1f},{TOP + height * (1 - value / most):.1f}" for at, value in points
        )
        yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>'
        y = TOP + 8 + 17 * number
        yield f'<text x="{LEFT + width + 8}" y="{y}" fill="{color}">{escape(label[:26])}</text>'
