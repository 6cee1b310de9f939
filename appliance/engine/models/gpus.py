"""Direct calls of CUDA, without onnxruntime: list the GPUs, and pin memory."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import weakref

import numpy as np
import structlog

log = structlog.get_logger()

PORTABLE = 1  # cudaHostRegisterPortable: pinned for every thread
LONGEST_LIST_SECONDS = 60.0


def list_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use, each a value for CUDA_VISIBLE_DEVICES.

    Another process asks the driver, since a driver that is loaded stays in memory. Returns no names without a driver.
    """
    try:
        answer = subprocess.run(
            [sys.executable, "-m", __name__], capture_output=True, text=True, timeout=LONGEST_LIST_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the GPUs cannot be counted", error=str(error))
        return []
    return answer.stdout.split()


def name_gpus(count: int, visible: str | None) -> list[str]:
    """Return the names of ``count`` GPUs. The driver counted only those of ``visible``, CUDA_VISIBLE_DEVICES."""
    names = visible.split(",") if visible else [str(number) for number in range(count)]
    return [name.strip() for name in names[:count]]


def pin(memory: np.ndarray, cuda_major: str) -> None:
    """Pin the memory of an array until it is freed, so that a GPU reads it directly.

    If CUDA refuses, that is logged; copies then pass through a buffer of CUDA's.
    """
    try:
        runtime = ctypes.CDLL(f"libcudart.so.{cuda_major}")
        address = memory.ctypes.data
        status = runtime.cudaHostRegister(ctypes.c_void_p(address), ctypes.c_size_t(memory.nbytes), PORTABLE)
    except (OSError, AttributeError) as error:
        log.warning("memory not pinned", error=str(error))
        return
    if status != 0:
        log.warning("memory not pinned", error=f"cudaHostRegister returned {status}")
        return
    weakref.finalize(memory, runtime.cudaHostUnregister, ctypes.c_void_p(address))


def _count() -> int:
    """Return how many GPUs the driver shows to this process; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


if __name__ == "__main__":
    print(*name_gpus(_count(), os.environ.get("CUDA_VISIBLE_DEVICES")), sep="\n")
