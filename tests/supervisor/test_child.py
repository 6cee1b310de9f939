"""A supervised process: a start that the machine has no room for, and its log."""

from __future__ import annotations

import json
import resource
from pathlib import Path

from structlog.testing import capture_logs

from appliance.frontdoor.caddy import STRANGERS
from appliance.supervisor.child import Child
from tests.support.appliances import wait_for


def test_a_process_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    def restarted(child: Child) -> bool:
        child.restart_if_dead()
        return child.running

    child = Child("sleeper", ["sleep", "600"], {"PATH": "/usr/bin:/bin"}, tmp_path)
    child.start()
    first = child.pid
    child.stop(5.0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        with capture_logs() as lines:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))  # so that no pipe can be made for its output
            wait_for(lambda: restarted(child) or "process not started" in [line["event"] for line in lines])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (child.running, child.pid) == (False, first)
    wait_for(lambda: restarted(child))
    assert child.pid != first
    child.stop(5.0)


def access_line(status: int, uri: str, method: str = "GET") -> str:
    """A line of the front door's log as Caddy writes it."""
    return json.dumps({"request": {"method": method, "uri": uri}, "status": status}, separators=(",", ":"))


def test_the_requests_of_strangers_cannot_push_out_other_lines(tmp_path: Path) -> None:
    ours = [access_line(200, "/api/v1/models"), access_line(503, "/api/v1/models"), '{"msg":"serving"}']
    theirs = [
        access_line(401, "/api/v1/models"),
        access_line(404, "/x"),
        *(access_line(200, uri) for uri in ("/", "/healthz", "/docs/a", "/api/v1/openapi.json")),
        access_line(204, "/api/v1/models", "OPTIONS"),
    ]
    lines = "\n".join([*ours, *theirs])
    child = Child("door", ["printf", "%s\\n", lines], {"PATH": "/usr/bin:/bin"}, tmp_path, aside=STRANGERS)
    child.start()
    main, strangers = tmp_path / "door.log", tmp_path / "door-strangers.log"
    wait_for(lambda: strangers.exists() and strangers.read_text().splitlines() == theirs)
    assert main.read_text().splitlines() == ours
    child.stop(5.0)
