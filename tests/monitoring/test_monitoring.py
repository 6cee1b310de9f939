"""The alert rules and the dashboard name only metrics that the appliance has, and the rules fire when they should."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from appliance.services import exposition
from appliance.services.box import Box
from appliance.services.health import Health
from appliance.services.work import leases
from appliance.worker import gpu
from tests.support.appliances import ROOT
from tests.worker.test_gpu import Library

FOLDER = ROOT / "monitoring"
NAME = re.compile(r"\b(?:appliance|process)_\w+")


def dashboard() -> Any:
    return json.loads((FOLDER / "dashboard.json").read_text())


def names_on_the_page(box: Box) -> set[str]:
    """The names of all samples, also those of metrics that have none yet."""
    leases.start_worker(box, "w", "cpu")
    registry = CollectorRegistry()
    registry.register(gpu._Gpus(Library()))
    names = set()
    for text in (exposition.page(box, Health(box)), generate_latest(registry)):
        for family in text_string_to_metric_families(text.decode()):
            ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            names |= {family.name + end for end in ends}
    return names


@pytest.mark.parametrize("file", ["alerts.yml", "dashboard.json"])
def test_every_metric_is_one_of_the_appliance(box: Box, file: str) -> None:
    used = set(NAME.findall((FOLDER / file).read_text()))
    assert len(used) > 5
    assert used <= names_on_the_page(box), used - names_on_the_page(box)


def test_every_metric_is_documented(box: Box) -> None:
    page = (ROOT / "docs" / "watching.md").read_text()
    names = {re.sub("_(bucket|sum|count)$", "", name) for name in names_on_the_page(box)}
    assert {name for name in names if name.startswith("appliance_") and name not in page} == set()


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    cells = [(place["y"], place["x"] + i) for place in places for i in range(place["w"])]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(places)


@pytest.mark.slow  # downloads promtool on first use
def test_promtool_accepts_the_rules_and_each_alert_fires_when_it_should() -> None:
    tool = subprocess.run(
        [ROOT / "scripts" / "install-prometheus", "promtool"], capture_output=True, text=True, check=True
    )
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        result = subprocess.run([tool.stdout.strip(), *command], cwd=FOLDER, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    rules, tests = (FOLDER / "alerts.yml").read_text(), (FOLDER / "alerts_test.yml").read_text()
    assert set(re.findall(r"alert: (\w+)", rules)) == set(re.findall(r"alertname: (\w+)", tests))
