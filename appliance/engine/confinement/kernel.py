"""Calls of the Linux kernel that Python 3.11 does not offer.

They are made with ctypes. Of the packages for this, ``pyseccomp`` needs libseccomp, which a bare machine may lack, and
had its last release in 2021; ``landlock`` has only development releases. Both rule sets here fit on a page.
"""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS = 38


def syscall(number: int, *args: int | ctypes.Structure | None) -> int:
    """Make a system call and return its result. A structure is passed by its address. Raises OSError."""
    pointers = [ctypes.byref(arg) if isinstance(arg, ctypes.Structure) else arg for arg in args]
    wide = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in pointers]
    return _checked(_LIBC.syscall(ctypes.c_long(number), *wide))


def forbid_new_privileges() -> None:
    """Let no program that this process starts gain privileges: seccomp and Landlock require it. Raises OSError."""
    one, zero = ctypes.c_ulong(1), ctypes.c_ulong(0)
    _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, one, zero, zero, zero))


def unshare(namespaces: int) -> None:
    """Move this process into new namespaces. Raises OSError."""
    _checked(_LIBC.unshare(namespaces))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
