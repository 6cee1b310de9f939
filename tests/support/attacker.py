"""A decoder process that a crafted file took over: it makes an attacker's calls instead of decoding.

It starts and confines itself as ``appliance.engine.decode.child`` does, but for the means that ``main`` leaves out.
The "recording" names the targets; the answer says for each call whether it worked.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
from collections.abc import Callable

from appliance.engine.confinement import confine
from appliance.engine.decode import child

WORKED = "worked"
LIBC = ctypes.CDLL(None, use_errno=True)


def main(without: tuple[str, ...] = ()) -> None:
    for name in without:
        del confine.MEANS[name]
    child._decode_file = answer  # type: ignore[assignment]
    child.main()


def answer(file_fd: int, pipe_fd: int, *_: object) -> None:
    targets = json.loads(os.read(file_fd, 65_536))
    results = {name: outcome(call) for name, call in calls(targets).items()}
    child._write(pipe_fd, b"?", memoryview(json.dumps(results).encode()))
    os.close(pipe_fd)


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except OSError as error:
        return os.strerror(error.errno or 0)
    except Exception as error:
        return repr(error)
    return WORKED


def calls(targets: dict[str, str]) -> dict[str, Callable[[], object]]:
    folder, secret, victim = targets["folder"], targets["secret"], int(targets["victim"])
    tcp = ("127.0.0.1", int(targets["port"]))
    return {
        "read a secret": lambda: os.open(secret, os.O_RDONLY),
        "write to the database": lambda: os.open(targets["database"], os.O_RDWR),
        "read another process's environment": lambda: os.open(f"/proc/{victim}/environ", os.O_RDONLY),
        "open another process's memory": lambda: os.open(f"/proc/{victim}/mem", os.O_RDWR),
        "open the parent's memory": lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDWR),
        "read its own environment": lambda: os.open("/proc/self/environ", os.O_RDONLY),
        "list a folder": lambda: os.listdir(folder),
        "see whether a file exists": lambda: os.stat(secret),
        "create a file": lambda: os.open(f"{folder}/new", os.O_CREAT | os.O_WRONLY),
        "create a folder": lambda: os.mkdir(f"{folder}/new-folder"),
        "create a link": lambda: os.symlink(secret, f"{folder}/link"),
        "rename a file": lambda: os.rename(f"{folder}/old", f"{folder}/renamed"),
        "delete a file": lambda: os.unlink(f"{folder}/doomed"),
        "cut a file": lambda: os.truncate(secret, 1),
        "change a file's mode": lambda: os.chmod(secret, 0o777),
        "connect to TCP": lambda: socket.socket().connect(tcp),
        "send UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", tcp),
        "connect to a UNIX socket": lambda: socket.socket(socket.AF_UNIX).connect(targets["unix"]),
        "connect to an abstract UNIX socket": lambda: socket.socket(socket.AF_UNIX).connect("\0" + targets["abstract"]),
        "make a pair of sockets": socket.socketpair,
        "fork": lambda: os.fork() or os._exit(0),
        "start a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "signal a process": lambda: os.kill(victim, 0),
        "signal the parent": lambda: os.kill(os.getppid(), 0),
        "trace a process": lambda: checked(LIBC.ptrace(16, victim, None, None)),
        "read another process's memory": lambda: read_memory(victim),
        "hold another process": lambda: checked(LIBC.syscall(434, victim, 0)),  # pidfd_open
        "ignore the end of its CPU time": lambda: signal.signal(signal.SIGXCPU, signal.SIG_IGN),
        "ignore the end of its parent": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO]),
        "raise its limits": lambda: resource.prlimit(0, resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2),
        "send SIGIO by a descriptor": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, victim),
        "make a file in memory": lambda: os.memfd_create("code"),
        "load a program into the kernel": lambda: checked(LIBC.syscall(321, 0, None, 0), (22, 7)),  # bpf
        "open a ring of requests": lambda: checked(
            LIBC.syscall(425, 1, ctypes.byref(ctypes.create_string_buffer(120)))
        ),
    }


def checked(result: int, harmless: tuple[int, ...] = ()) -> None:
    """Raise the call's error, except one that shows that the kernel got as far as reading the arguments."""
    number = ctypes.get_errno()
    if result < 0 and number not in harmless:
        raise OSError(number, os.strerror(number))


def read_memory(victim: int) -> None:
    class Vector(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    target = ctypes.create_string_buffer(8)
    here, there = Vector(ctypes.addressof(target), 8), Vector(8, 8)
    checked(LIBC.process_vm_readv(victim, ctypes.byref(here), 1, ctypes.byref(there), 1, 0), (14,))
