"""How a graph uses a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.config import Settings

Precision = Literal["float32", "tf32", "float16"]


@dataclass(frozen=True)
class GpuOptions:
    """How a graph uses a GPU: ``calls`` batches run at once, each on a stream of its own.

    ``precision`` is that of convolutions and matrix products. With ``graphs``, the kernels of a batch are recorded once
    and then started together; nothing is copied meanwhile.
    """

    calls: int = 1
    precision: Precision = "float32"
    graphs: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> GpuOptions:
        """Return what the settings say."""
        return cls(settings.scoring_calls or 1, settings.gpu_precision, settings.cuda_graphs)

    @property
    def cuda(self) -> dict[str, str]:
        """The options of onnxruntime's provider."""
        return {"use_tf32": str(int(self.precision == "tf32")), "enable_cuda_graph": str(int(self.graphs))}


def batch_sizes(largest: int) -> list[int]:
    """Return the sizes of batches, rising: each about four times the one before."""
    sizes = [largest]
    while sizes[0] > 1:
        sizes.insert(0, max(1, sizes[0] // 4))
    return sizes
