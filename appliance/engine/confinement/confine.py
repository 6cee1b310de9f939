"""Takes from this process all that decoding and checking a model do not need. Nothing gives it back.

``python -m appliance.engine.confinement.confine`` confines itself and prints, as JSON, what could not be applied.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable

from appliance import ROOT
from appliance.engine.confinement import landlock, seccomp
from appliance.engine.confinement.kernel import forbid_new_privileges, unshare

MAX_OPEN_FILES = 32

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000


def environment() -> dict[str, str]:
    """Return the environment of a process that is to be confined.

    It holds no secrets. One thread: a BLAS that starts more reserves address space, which the memory limit counts.
    Freed memory of up to 8 MiB stays in the process: to get every array from the kernel anew took half of the time of
    a spectrogram tile.
    """
    inherited = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TZ") if name in os.environ}
    malloc = {"MALLOC_MMAP_THRESHOLD_": str(4 * 1024**2), "MALLOC_TRIM_THRESHOLD_": str(8 * 1024**2)}
    fixed = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return inherited | fixed | malloc


def limit_resources(memory_bytes: int) -> None:
    """Limit the address space of this process, and let it write to no file, start no process and leave no core."""
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (value, value))


def confine() -> dict[str, str]:
    """Confine this process. Returns the means that could not be applied, each with the reason; ideally none.

    Call it after all imports: from here on the process can open no file. It goes on with the means that there are,
    since an appliance that decodes nothing on an older kernel would help nobody; ``doctor`` reports the others.
    """
    missing = {}
    for name, apply in MEANS.items():
        try:
            apply()
        except OSError as error:
            missing[name] = error.strerror or str(error)
    return missing


def missing_confinement() -> dict[str, str]:
    """Confine a new process and return what ``confine`` returned there. Raises SubprocessError if it fails."""
    command = [sys.executable, "-s", "-m", "appliance.engine.confinement.confine"]
    answer = subprocess.run(command, env=environment(), capture_output=True, timeout=60, check=True)
    missing: dict[str, str] = json.loads(answer.stdout)
    return missing


def _leave_network() -> None:
    """Move into an empty network. A new user namespace makes it possible without root and takes root's powers away."""
    try:
        unshare(_NEW_USER | _NEW_NETWORK)
    except OSError:
        unshare(_NEW_NETWORK)


# In the order in which they are applied; seccomp is last, since it refuses the calls of the others.
MEANS: dict[str, Callable[[], None]] = {
    "network namespace": _leave_network,
    "no_new_privs": forbid_new_privileges,
    "Landlock": landlock.apply,
    "seccomp": seccomp.apply,
}


if __name__ == "__main__":
    print(json.dumps(confine()))
