"""A cluster of a head and three nodes, on the loopback of a network namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.appliances import ROOT
from tests.support.toy_recordings import LOUD_DURATION_MS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # Ray needs ten starts of Python, and may need a second try
GOOD = ["completed", LOUD_DURATION_MS, [[1160, 1742]]]


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Any:
    """What happened in the run. When its first process has ended, the kernel has ended all others."""
    folder = tmp_path_factory.mktemp("c")
    alone = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*alone, sys.executable, "-m", "tests.support.cluster_run", str(folder), str(models)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_files_are_scored_on_nodes_as_here(facts: Any) -> None:
    assert facts["first"] == [GOOD] * 12
    assert facts["bad"] == "corrupt_audio"


def test_a_killed_and_a_hung_engine_lose_nothing(facts: Any) -> None:
    assert facts["second"] == [GOOD] * 12
    assert facts["lost"] == {"one": 1, "two": 1}
    assert facts["work"] == []


def test_a_drained_node_takes_no_more(facts: Any) -> None:
    assert facts["third"] == [GOOD] * 4
    assert facts["drained took"] == 0


def test_strangers_and_other_versions_are_refused_by_name(facts: Any) -> None:
    assert facts["exit status with a wrong token"] == 1
    assert "refuses the token" in facts["output with a wrong token"]
    assert "it has 0.0.9_other, and the box has " in facts["refused"]


def test_engines_end_with_the_worker(facts: Any) -> None:
    assert facts["engines left"] == ["none"]
