"""A process that hangs as soon as it is watched."""

from __future__ import annotations

from pathlib import Path

from appliance.supervisor.child import Child
from appliance.supervisor.hangs import HangWatch
from tests.support.appliances import wait_for


def test_a_process_that_hangs_from_the_first_probe_on_is_killed(tmp_path: Path) -> None:
    """It was ready when its watch began, so it gets no time to start."""
    child = Child("sleeper", ["sleep", "600"], {"PATH": "/usr/bin:/bin"}, tmp_path)
    child.start()
    watch = HangWatch(child, lambda seconds: False, hang_seconds=0.1)
    watch.start()
    try:
        wait_for(lambda: not child.running)
    finally:
        watch.stop()
        child.stop(5.0)


def test_a_watch_that_never_began_can_be_stopped(tmp_path: Path) -> None:
    """So the reason why the appliance did not start is not hidden by another error."""
    child = Child("sleeper", ["sleep", "600"], {"PATH": "/usr/bin:/bin"}, tmp_path)
    HangWatch(child, lambda seconds: False, hang_seconds=0.1).stop()
