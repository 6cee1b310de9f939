"""Landlock: the process can open, create, change and remove no file, use no TCP port, and signal no other process.

Files that are open already stay usable. See https://docs.kernel.org/userspace-api/landlock.html.
"""

from __future__ import annotations

import ctypes
import os

from appliance.engine.confinement.kernel import syscall

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same numbers on all processors
_ASK_VERSION = 1
_FILE_RIGHTS = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 5: 1 << 16}  # in this version, the rights are the bits below
_NETWORK_RIGHTS = {4: 0b11}  # bind and connect TCP sockets
_SCOPES = {6: 0b11}  # abstract UNIX sockets and signals


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def apply() -> None:
    """Take every right away that the kernel's version of Landlock knows. Raises OSError if the kernel has none."""
    version = syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    ruleset = _Ruleset(
        max(bit - 1 for since, bit in _FILE_RIGHTS.items() if since <= version),
        max((bits for since, bits in _NETWORK_RIGHTS.items() if since <= version), default=0),
        max((bits for since, bits in _SCOPES.items() if since <= version), default=0),
    )
    fd = syscall(_CREATE_RULESET, ruleset, ctypes.sizeof(ruleset), 0)
    try:
        syscall(_RESTRICT_SELF, fd, 0)
    finally:
        os.close(fd)
