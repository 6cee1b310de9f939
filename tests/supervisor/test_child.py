"""A supervised process on a machine that has no room for it."""

from __future__ import annotations

import resource
from pathlib import Path

from structlog.testing import capture_logs

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
