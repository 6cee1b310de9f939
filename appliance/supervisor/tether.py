"""``tether.py PARENT COMMAND…``: become COMMAND, which the kernel kills when PARENT dies.

This is a process of its own. Code between fork and exec could deadlock if the parent has threads.

A fork does not inherit the tie, so this is also a configuration of gunicorn, which ties each worker to its arbiter: a
worker that outlives it can hold the database's lock for as long as its requests take.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then replace it."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    _tie(parent)
    os.execvp(command[0], command)


def post_fork(arbiter: Any, worker: Any) -> None:
    """Tie a new worker of gunicorn, in which this runs, to its arbiter."""
    _tie(worker.ppid)


def _tie(parent: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the tie took effect
        os._exit(1)


if __name__ == "__main__":
    main()
