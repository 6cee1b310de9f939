"""GPUs in the metrics. NVIDIA's library is an imitation: the machines of the tests have no GPU."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from appliance.worker import gpu


class NVMLError(Exception):
    """An error of the library."""


class Library(SimpleNamespace):
    """Two GPUs; the second one tells its memory and not its use."""

    NVMLError = NVMLError

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=8000, used=1000 + device)

    def nvmlDeviceGetUtilizationRates(self, device: int) -> SimpleNamespace:  # noqa: N802
        if device == 1:
            raise NVMLError("Not Supported")
        return SimpleNamespace(gpu=25)


def shown(monkeypatch: pytest.MonkeyPatch, library: object) -> str:
    registry = CollectorRegistry()
    monkeypatch.setattr(gpu, "REGISTRY", registry)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    gpu.watch_gpus()
    return generate_latest(registry).decode()


def test_memory_and_use_of_each_gpu_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    page = shown(monkeypatch, Library())
    assert 'appliance_gpu_memory_used_bytes{gpu="0"} 1000.0' in page
    assert 'appliance_gpu_memory_used_bytes{gpu="1"} 1001.0' in page
    assert 'appliance_gpu_busy_ratio{gpu="0"} 0.25' in page
    assert 'appliance_gpu_busy_ratio{gpu="1"}' not in page


def test_a_machine_without_the_library_or_its_driver_shows_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, None) == ""

    class Driverless(Library):
        def nvmlInit(self) -> None:  # noqa: N802
            raise NVMLError("Driver Not Loaded")

    assert shown(monkeypatch, Driverless()) == ""
