"""Memory and use of NVIDIA GPUs, from the driver's own library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from appliance.metrics import REGISTRY

log = structlog.get_logger()


def watch_gpus() -> None:
    """Add the GPUs of this machine to the metrics of this process. Without NVIDIA's library there is nothing to add."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return
    except pynvml.NVMLError as error:
        log.warning("the GPUs are not in the metrics", reason=str(error))
        return
    REGISTRY.register(_Gpus(pynvml))


class _Gpus(Collector):
    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml

    def collect(self) -> Iterator[Metric]:
        """Yield the families. A figure that a device does not have is left out."""
        nvml = self._nvml
        total = GaugeMetricFamily("appliance_gpu_memory_bytes", "Memory of the GPU.", labels=["gpu"])
        used = GaugeMetricFamily("appliance_gpu_memory_used_bytes", "Memory in use, by all programs.", labels=["gpu"])
        busy = GaugeMetricFamily("appliance_gpu_busy_ratio", "Part of the time in which a kernel ran.", labels=["gpu"])
        for index in range(nvml.nvmlDeviceGetCount()):
            device = nvml.nvmlDeviceGetHandleByIndex(index)
            try:
                memory = nvml.nvmlDeviceGetMemoryInfo(device)
                total.add_metric([str(index)], memory.total)
                used.add_metric([str(index)], memory.used)
                busy.add_metric([str(index)], nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100)
            except nvml.NVMLError:
                continue
        yield from (total, used, busy)
