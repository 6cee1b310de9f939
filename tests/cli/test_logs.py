"""``logs`` tells the story of one request."""

from __future__ import annotations

import io
import json
from pathlib import Path

from click.testing import CliRunner

from appliance.cli.__main__ import main
from tests.cli.conftest import Run

DOOR = {
    "ts": "2026-11-21T18:00:00.1Z",
    "msg": "handled request",
    "request": {"method": "POST", "uri": "/api/v1/inference-jobs"},
    "status": 201,
    "duration": 0.02,
    "request_id": "r1",
}
WORKER = {
    "process": "worker",
    "kind": "inference",
    "event": "work done",
    "timestamp": "2026-11-21T18:00:02Z",
    "level": "info",
    "request_id": "r1",
}


def test_lines_of_all_logs_are_in_order_also_those_that_were_rotated(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "logs"
    folder.mkdir(parents=True)
    other = DOOR | {"request_id": "r12"}
    (folder / "worker.log").write_text(f"{json.dumps(WORKER)}\nTraceback r1\n{{cut off r1")
    (folder / "frontdoor.log.1").write_text(f"{json.dumps(DOOR)}\n{json.dumps(other)}\n")
    lines = run("logs", "--request", "r1", "--data-dir", "data").stdout.splitlines()
    assert lines == [
        "2026-11-21 18:00:00.100000  frontdoor  POST /api/v1/inference-jobs: 201 in 20 ms",
        "2026-11-21 18:00:02.000000  worker     work done kind=inference",
    ]


def test_lines_come_from_standard_input_too(run: Run) -> None:
    text = io.BytesIO(f"{json.dumps(WORKER)}\n{json.dumps(DOOR)}\n".encode())
    result = CliRunner().invoke(main, ["logs", "--request", "r1", "-"], input=text.read())
    assert [line.split()[2] for line in result.stdout.splitlines()] == ["frontdoor", "worker"]


def test_a_request_of_which_no_log_knows_is_an_error(run: Run) -> None:
    assert "No log has a line about the request r1" in run("logs", "--request", "r1", code=1).output
