"""Faults: a process is killed or stopped, or the whole box. Each names a victim and what is done to it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

from tests.support.appliances import Appliance, children, command_of

# A decoder lives only while a file is decoded, so it is looked for most often.
KILLS = {"decoder": 8, "worker": 3, "api": 2, "arbiter": 2, "frontdoor": 2, "storage": 2}
FIND_SECONDS = 20.0  # then another victim is chosen: no decoder runs while storage waits to be started again
GIVE_UP_SECONDS = 600.0


def pids_of(appliance: Appliance, victim: str) -> list[int]:
    """Process ids of a victim. ``arbiter`` is gunicorn's first process, ``api`` the one that answers."""
    if victim == "decoder":
        worker = appliance.pid("worker")
        return [pid for pid in children(worker) if "appliance.engine.decode.child" in command_of(pid)]
    if victim == "api":
        return children(appliance.pid("api"))
    return [appliance.pid("api" if victim == "arbiter" else victim)]


def kill_one(appliance: Appliance, random_source: random.Random) -> str:
    """Kill a process chosen at random with SIGKILL. Returns its name. Raises TimeoutError if there is none at all."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        victim = random_source.choices(list(KILLS), list(KILLS.values()))[0]
        find_until = time.monotonic() + FIND_SECONDS
        while time.monotonic() < find_until:
            if pids := [pid for pid in pids_of(appliance, victim) if pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(random_source.choice(pids), signal.SIGKILL)
                    return victim
            time.sleep(0.02)
    raise TimeoutError(f"There was no process to kill for {GIVE_UP_SECONDS:.0f} s.")


def stop_storage(appliance: Appliance, seconds: float) -> None:
    """Stop storage as if its disk hung, and let it go on after ``seconds``, if it still runs then."""
    pid = appliance.pid("storage")
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
