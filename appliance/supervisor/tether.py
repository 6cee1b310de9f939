"""``tether.py PARENT COMMAND…``: become COMMAND, which the kernel kills when PARENT dies.

This is a process of its own. Code between fork and exec could deadlock if the parent has threads.
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
    if os.getppid() != parent:  # the parent died before the tie took effect
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
