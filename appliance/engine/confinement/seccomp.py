"""seccomp: the process can make the system calls in a short list; any other fails with EPERM.

Those in the list use descriptors that are open, manage the process's own memory, or end it. None of them takes a path,
makes a descriptor (but for those that the parent sends), reaches another process, or can block or ignore the signals by
which the parent and the limits end this one.
"""

from __future__ import annotations

import ctypes
import errno
import platform

from appliance.engine.confinement.kernel import syscall

_SECCOMP = 317
_SET_MODE_FILTER = 1
_ALL_THREADS = 1
_ARCHITECTURE = 0xC000003E  # x86-64; a 32-bit call has another one

_ALLOWED = {
    "read": 0,
    "write": 1,
    "close": 3,
    "fstat": 5,
    "lseek": 8,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigreturn": 15,
    "pread64": 17,
    "readv": 19,
    "writev": 20,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "sendto": 44,
    "recvmsg": 47,
    "exit": 60,
    "futex": 202,
    "sched_getaffinity": 204,  # onnxruntime: how many cores there are
    "restart_syscall": 219,
    "clock_gettime": 228,
    "exit_group": 231,
    "getrandom": 318,
}

# Instructions of the classic BPF machine, and what a filter returns.
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET = 0, 4  # in struct seccomp_data
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def apply() -> None:
    """Install the filter. Raises OSError if the kernel has no seccomp or the processor has other system calls."""
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, f"the list of system calls is for x86_64, not for {platform.machine()}")
    steps = [(_LOAD, 0, 0, _ARCHITECTURE_OFFSET), (_JUMP_IF_EQUAL, 1, 0, _ARCHITECTURE), (_RETURN, 0, 0, _KILL)]
    steps.append((_LOAD, 0, 0, _NUMBER_OFFSET))
    for distance, number in zip(range(len(_ALLOWED), 0, -1), _ALLOWED.values(), strict=True):
        steps.append((_JUMP_IF_EQUAL, distance, 0, number))
    install([*steps, (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)])


def install(steps: list[tuple[int, int, int, int]]) -> None:
    """Install a filter for all threads of the process. Raises OSError.

    Each step is an instruction of the classic BPF machine: its code, how many steps to skip if it holds and if it does
    not, and its operand.
    """
    instructions = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    if syscall(_SECCOMP, _SET_MODE_FILTER, _ALL_THREADS, _Program(len(steps), instructions)):
        raise OSError(errno.EBUSY, "a thread of the process cannot be confined")
