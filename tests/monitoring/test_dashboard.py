"""The dashboard, as far as it can be tried without Grafana: Grafana's model of it, and Prometheus for its queries."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from appliance.storage.local_server import free_ports
from tests.monitoring.test_monitoring import FOLDER, dashboard
from tests.support.appliances import PATIENCE_SECONDS, ROOT, Appliance, make_models, running_appliance, wait_for
from tests.support.toy_recordings import loud_wav

GPUS = {"Memory of the GPUs", "Use of the GPUs"}  # there is none here


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """The fields that are missing or other after Grafana's model has read the dashboard; it may add defaults."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [line for name in before for line in lost(before[name], after.get(name), f"{path}.{name}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [line for n, pair in enumerate(zip(before, after, strict=True)) for line in lost(*pair, f"{path}[{n}]")]
    return [] if before == after else [f"{path}: {before!r}, {after!r}"]


def test_grafana_knows_every_field_of_the_dashboard() -> None:
    register_default_plugins()
    wrong = dashboard()
    wrong["panels"][1]["fieldConfig"]["defaults"]["custom"]["drawStile"] = "line"
    for file, faults in ((dashboard(), 0), (wrong, 1)):
        read = json.loads(json.dumps(Dashboard.from_json(file), cls=JSONEncoder))
        assert len(lost(file, read)) == faults


@contextlib.contextmanager
def prometheus(appliance: Appliance, folder: Path) -> Iterator[str]:
    """Run a Prometheus that scrapes the appliance as docs/watching.md says, each second, with the alert rules."""
    tool = subprocess.run(
        [ROOT / "scripts" / "install-prometheus", "prometheus"], capture_output=True, text=True, check=True
    )
    options = ("--tenant", "monitoring", "--scope", "metrics", "--data-dir", str(appliance.data_dir))
    (folder / "key").write_text(appliance.command("keys", "create", "prometheus", *options))
    job = {
        "job_name": "appliance",
        "scrape_interval": "1s",
        "authorization": {"type": "Bearer", "credentials_file": str(folder / "key")},
        "static_configs": [{"targets": [appliance.url.removeprefix("http://")]}],
    }
    config = {"scrape_configs": [job], "rule_files": [str(FOLDER / "alerts.yml")]}
    (folder / "prometheus.json").write_text(json.dumps(config))  # JSON is YAML too
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        tool.stdout.strip(),
        f"--config.file={folder / 'prometheus.json'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def answer(origin: str, expression: str) -> list[Any]:
    """What Prometheus answers to a query of the dashboard now."""
    query = expression.replace("$instance", ".*")
    response = requests.get(f"{origin}/api/v1/query", params={"query": query}, timeout=PATIENCE_SECONDS)
    assert response.status_code == 200, response.text
    return response.json()["data"]["result"]


@pytest.mark.slow  # downloads Prometheus on first use
def test_every_panel_shows_something_of_a_running_appliance(tmp_path: Path) -> None:
    models = make_models(tmp_path / "models")
    # So much free space is wanted that one check warns.
    settings = {"storage_server": "minio", "warn_free_bytes": 2**60}
    with (
        running_appliance(tmp_path / "data", models, **settings) as appliance,
        prometheus(appliance, tmp_path) as origin,
    ):
        wait_for(lambda: listens(origin))
        api = appliance.api
        api.finished_file(job_id := api.make_job(), api.send(job_id, loud_wav()))
        empty = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in dashboard()["panels"]}
        for title in GPUS:
            del empty[title]

        def all_drawn() -> bool:
            for title, expressions in list(empty.items()):
                if any(answer(origin, expression) for expression in expressions):
                    del empty[title]
            return not empty

        wait_for(all_drawn, every_seconds=0.5)
        rules = requests.get(f"{origin}/api/v1/rules", timeout=PATIENCE_SECONDS).json()["data"]["groups"][0]["rules"]
        assert len(rules) > 10
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}  # unknown: not evaluated yet


def listens(origin: str) -> bool:
    """Whether Prometheus is ready."""
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{origin}/-/ready", timeout=5).status_code == 200
    return False
