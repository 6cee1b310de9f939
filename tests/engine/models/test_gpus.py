"""Names of GPUs, and pinned memory. CUDA itself is replaced: what it is told is what counts."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import numpy as np
import pytest
from structlog.testing import CapturingLogger

from appliance.engine.models import gpus


class FakeRuntime:
    def __init__(self, status: int) -> None:
        self.status = status
        self.calls: list[tuple[Any, ...]] = []

    def cudaHostRegister(self, address: Any, size: Any, flags: int) -> int:  # noqa: N802
        self.calls.append(("register", address.value, size.value))
        return self.status

    def cudaHostUnregister(self, address: Any) -> int:  # noqa: N802
        self.calls.append(("unregister", address.value))
        return 0


def test_names_follow_the_devices_that_are_visible() -> None:
    assert gpus.name_gpus(2, None) == ["0", "1"]
    assert gpus.name_gpus(2, "3, GPU-a1") == ["3", "GPU-a1"]
    assert gpus.name_gpus(1, "0,9") == ["0"]  # CUDA ignores what follows an invalid name
    assert gpus.name_gpus(0, "") == []


def test_gpus_are_listed_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.list_gpus() == []


def test_memory_is_pinned_until_it_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, names = FakeRuntime(0), list[str]()

    def load(name: str) -> FakeRuntime:
        names.append(name)
        return runtime

    monkeypatch.setattr(ctypes, "CDLL", load)
    memory = np.zeros(1000, np.float32)
    address = memory.ctypes.data
    view = memory[10:]
    gpus.pin(memory, "13")
    del memory
    gc.collect()
    assert (names, runtime.calls) == (["libcudart.so.13"], [("register", address, 4000)])
    del view
    gc.collect()
    assert runtime.calls[1:] == [("unregister", address)]


@pytest.mark.parametrize("status", [1, None])
def test_memory_that_cannot_be_pinned_is_used_all_the_same(monkeypatch: pytest.MonkeyPatch, status: int | None) -> None:
    def load(name: str) -> FakeRuntime:
        if status is None:
            raise OSError(f"{name}: cannot open shared object file")
        return FakeRuntime(status)

    logger = CapturingLogger()
    monkeypatch.setattr(gpus, "log", logger)
    monkeypatch.setattr(ctypes, "CDLL", load)
    gpus.pin(np.zeros(10, np.float32), "13")
    assert [call.args for call in logger.calls] == [("memory not pinned",)]
