"""The parts of ``scripts/soak`` that can be tried in a moment."""

from __future__ import annotations

import csv
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.audit import Audit
from tests.chaos.gauges import Gauges
from tests.chaos.scraped import PANELS, Scraped, scraping
from tests.chaos.soak import MIB, Pace, Soak
from tests.support.appliances import make_models, running_appliance, wait_for


def test_clients_share_a_pace() -> None:
    pace, started = Pace(), time.monotonic()
    pace.per_second = 200.0
    with ThreadPoolExecutor(4) as clients:
        list(clients.map(lambda _: pace.wait(), range(41)))
    assert time.monotonic() - started >= 0.2  # the first starts at once, the others 5 ms after each other


def test_the_table_shows_what_grew() -> None:
    readings = [
        Gauges({"api": size * MIB}, {"api": 2 * size}, temporary_files=size, database_bytes=0, wal_bytes=0)
        for size in (3, 9, 5, 4)
    ]
    soak = Soak(60.0, 10.0, 8.0, readings[:3], readings[3], [0.1] * 99 + [1.0], 0, Audit(), Scraped())
    lines = {line[:30].strip(): line[30:].strip() for line in soak.table().splitlines()}
    assert lines["memory of api, MiB"] == "3 / 9 / 5 / 4"
    assert lines["open files of api"] == "6 / 18 / 10 / 8"
    assert lines["API p50, p99, ms"].startswith("100, ")


def page(work: int, seconds: float) -> str:
    return (
        f'appliance_work_total{{kind="inference",model="m",result="completed",process="worker"}} {work}\n'
        f'appliance_work_total{{kind="inference",model="n",result="completed",process="worker"}} {work}\n'
        f'appliance_stage_seconds_sum{{stage="fetch",process="worker"}} {seconds}\n'
        f'appliance_stage_seconds_count{{stage="fetch",process="worker"}} {work}\n'
    )


def test_counters_are_drawn_as_rates_and_histograms_as_means() -> None:
    scraped = Scraped()
    for at, work, seconds in ((0.0, 10, 1.0), (10.0, 20, 3.0), (20.0, 20, 3.0), (30.0, 5, 1.0)):
        scraped.add(at, page(work, seconds))
    lines = {panel.title: scraped.lines(panel) for panel in PANELS}
    # Models are added up; at 30 s the worker was new, so its counter began at 0 again.
    ended = {"inference completed": [(10.0, 2.0), (20.0, 0.0), (30.0, 1.0)]}
    assert lines["Work that ended, per second"] == ended
    # Nothing was fetched between 10 s and 20 s, so there is no mean.
    assert [(at, round(value)) for at, value in lines["Time of a stage, mean, ms"]["fetch"]] == [
        (10.0, 200),
        (30.0, 200),
    ]


@pytest.mark.slow
def test_a_running_appliance_is_scraped_and_drawn(tmp_path: Path) -> None:
    with (
        running_appliance(tmp_path / "data", make_models(tmp_path / "models"), storage_server="minio") as appliance,
        scraping(appliance, every_seconds=0.1) as scraped,
    ):
        panels = {panel.title: panel for panel in PANELS}
        wait_for(lambda: "worker" in scraped.lines(PANELS[0]))  # it writes its figures every five seconds
        wait_for(lambda: "200" in scraped.lines(panels["Calls of the API, per second"]))  # a rate needs two scrapes
    scraped.write_csv(tmp_path / "metrics.csv")
    scraped.write_svg(tmp_path / "metrics.svg")
    with (tmp_path / "metrics.csv").open() as file:
        lines = {(row["panel"], row["line"]) for row in csv.DictReader(file)}
    assert {("Memory of the processes, MiB", name) for name in ("api", "worker")} <= lines
    assert ("Calls of the API, per second", "200") in lines
    texts = [text.text for text in ElementTree.parse(tmp_path / "metrics.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert "Database, MiB" in texts
