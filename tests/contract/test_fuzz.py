"""Schemathesis generates requests from the OpenAPI document. No request breaks the API; responses are as documented."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.spec import Spec
from tests.support.appliances import PATIENCE_SECONDS, Appliance, running_appliance, wait_for

# Three checks are not true of this API: a model and a content type must exist, not only be strings; a path that also
# matches the pattern of another path shares its Allow header; and 404 for an invented file of a job that was just made
# is not about the job.
EXCLUDED_CHECKS = "positive_data_acceptance,allow_header_conformance,ensure_resource_availability"
EXAMPLES = int(os.environ.get("REQUEST_EXAMPLES", "12"))  # of each operation, and scenarios


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance of its own: thousands of requests leave much that other tests would meet."""
    with running_appliance(tmp_path_factory.mktemp("fuzz"), models, storage_server="minio") as running:
        yield running


@pytest.mark.timeout(1800)
def test_generated_requests_break_nothing(appliance: Appliance, spec: Spec, tmp_path: Path) -> None:
    command = [
        str(Path(sysconfig.get_path("scripts")) / "schemathesis"),
        "run",
        f"{appliance.url}/api/v1/openapi.json",
        *("--header", f"X-API-Key: {appliance.key}"),
        *("--header", f"Authorization: {appliance.key}"),
        *("--checks", "all", "--exclude-checks", EXCLUDED_CHECKS),
        *("--phases", "coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"),
        *("--request-timeout", str(PATIENCE_SECONDS), "--suppress-health-check", "too_slow"),  # 10 s else
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1700)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    num_operations = sum(map(len, spec.document["paths"].values()))
    assert re.search(rf"Tested: {num_operations}\b", result.stdout), result.stdout
    scenarios = re.search(r"Scenarios: +(\d+)", result.stdout)
    assert scenarios is not None, result.stdout
    assert int(scenarios[1]) >= EXAMPLES / 2  # of calls that use what earlier calls made, by links that it infers
    wait_for(appliance.ready)
