"""Runs a program as on a kernel without some system calls: ``python -m tests.support.older_kernel 444,317 PROGRAM …``.

The calls, by their x86-64 numbers, fail with ENOSYS in the program and in all that it starts.
"""

from __future__ import annotations

import errno
import os
import sys

from appliance.engine.confinement import kernel, seccomp

LANDLOCK, SECCOMP, UNSHARE = 444, 317, 272


def refuse(numbers: list[int]) -> None:
    steps = [(0x20, 0, 0, 0)]
    for number in numbers:
        steps += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | errno.ENOSYS)]
    steps.append((0x06, 0, 0, 0x7FFF0000))
    kernel.forbid_new_privileges()
    seccomp.install(steps)


if __name__ == "__main__":
    refuse([int(number) for number in sys.argv[1].split(",")])
    os.execvp(sys.argv[2], sys.argv[2:])
