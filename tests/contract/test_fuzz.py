"""Requests that a machine makes up from the OpenAPI document break nothing, and every answer is as promised."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

from tests.contract.spec import Spec
from tests.support.appliances import Appliance

# A model and a content type must exist, not only be strings; and a path below another one's pattern shares its Allow.
UNTRUE_HERE = "positive_data_acceptance,allow_header_conformance"


def test_made_up_requests_break_nothing(appliance: Appliance, spec: Spec, tmp_path: Path) -> None:
    command = [
        str(Path(sysconfig.get_path("scripts")) / "schemathesis"),
        "run",
        f"{appliance.url}/api/v1/openapi.json",
        *("--header", f"X-API-Key: {appliance.key}"),
        *("--header", f"Authorization: {appliance.key}"),
        *("--checks", "all", "--exclude-checks", UNTRUE_HERE),
        *("--phases", "coverage,fuzzing", "--max-examples", "30", "--seed", "1", "--no-color"),
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    num_operations = sum(map(len, spec.document["paths"].values()))
    assert re.search(rf"Tested: {num_operations}\b", ran.stdout), ran.stdout
    assert appliance.ready()
