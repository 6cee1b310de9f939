"""``tether.py PARENT COMMAND…``: become COMMAND, which the kernel kills when PARENT dies.

A process of its own rather than code between fork and exec, where a parent with threads can deadlock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then replace it."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the tie held
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
