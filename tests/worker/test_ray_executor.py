"""A box with its head and three nodes, on the loopback of a network namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.cluster import ALONE
from tests.support.appliances import ROOT
from tests.support.speech_sample import SAMPLE_MS, wrong_words
from tests.support.toy_recordings import LOUD_DETECTIONS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]  # Ray needs many starts of Python, and may try again
GOOD = ["completed", None, LOUD_DETECTIONS]


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory, models: Path, speech_model: None) -> Any:
    """What happened in the run. When its first process has ended, the kernel has ended all others."""
    folder = tmp_path_factory.mktemp("c")
    command = [*ALONE, sys.executable, "-m", "tests.chaos.cluster_run", str(folder), str(models)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=3500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_files_are_scored_on_nodes_as_here(facts: Any) -> None:
    assert facts["first"] == [GOOD] * 12 + [["failed", "corrupt_audio", []]]


def test_speech_is_transcribed_on_a_node(facts: Any) -> None:
    transcript = facts["transcript"]
    assert transcript["status"] == "completed"
    assert transcript["audio_duration"] == round(SAMPLE_MS / 1000)
    assert wrong_words(transcript["text"]) <= 2
    assert facts["transcribed"] >= 1  # more if an engine was lost, as on a busy machine


def test_files_on_nodes_are_cancelled(facts: Any) -> None:
    assert facts["cancelled"] == ["cancelled"]


def test_a_killed_and_a_hung_engine_lose_nothing(facts: Any) -> None:
    assert facts["second"] == [GOOD] * 12


def test_a_drained_node_takes_no_more(facts: Any) -> None:
    assert facts["third"] == [GOOD] * 4
    assert facts["drained took"] == 0
    assert facts["work"] == []


def test_a_node_that_does_not_reach_storage_harms_no_file(facts: Any) -> None:
    assert facts["fourth"] == [GOOD] * 8
    assert "it cannot connect to object storage" in facts["blind"]
    assert "certificate verify failed" in facts["blind"]


def test_strangers_and_other_versions_are_refused_by_name(facts: Any) -> None:
    assert facts["exit status with a wrong token"] == 1
    assert "refuses the token" in facts["output with a wrong token"]
    assert "it has 0.0.9_other, and the box has " in facts["refused"]


def test_nothing_is_lost_if_a_node_the_worker_and_the_head_are_killed(facts: Any) -> None:
    assert facts["faultless"], facts["audit"]
    assert facts["sent"] > 0
    assert facts["engines left"] == []


def test_bulk_on_nodes_has_the_bytes_of_one_machine_though_a_node_is_killed(facts: Any) -> None:
    assert facts["bulk here"][0] == 1, facts["bulk said"]
    assert "24 of 24 recordings, 2 failed" in facts["bulk here"][1]  # one is no recording, one was changed
    assert facts["bulk on nodes"] == facts["bulk here"], facts["bulk said"]
    assert facts["bulk shards left at the kill"] > 0
    assert facts["bulk shards that differ"] == []
    assert facts["bulk verified"] == 0
