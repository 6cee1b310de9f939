"""The length that a graph declares for its windows is replaced by a name, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest

from appliance.engine.models.onnx_file import open_axis
from appliance.errors import InvalidManifest
from tests.support import toy_models


def shape_of(content: bytes) -> list[int | str]:
    sizes = onnx.load_from_string(content).graph.input[0].type.tensor_type.shape.dim
    return [size.dim_param or size.dim_value for size in sizes]


@pytest.mark.parametrize(
    ("maker", "axis", "shape"),
    [
        (toy_models.window_model, 1, ["batch", "n"]),
        (toy_models.frame_model, 1, ["batch", "nn", 1]),
        (toy_models.softmax_model, 2, ["batch", 1, "n"]),
    ],
)
def test_only_the_length_is_replaced(
    tmp_path: Path, maker: Callable[[Path], Path], axis: int, shape: list[int | str]
) -> None:
    content = (maker(tmp_path) / "model.onnx").read_bytes()
    opened = open_axis(content, "audio", axis)
    assert shape_of(opened) == shape
    assert len(opened) == len(content)
    assert sum(one != other for one, other in zip(content, opened, strict=True)) <= 4
    assert open_axis(opened, "audio", axis) == opened
    assert open_axis(content, "other", axis) == content
    assert open_axis(content, "audio", 7) == content


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    content = (toy_models.window_model(tmp_path) / "model.onnx").read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 3):
            damaged[place] = generator.integers(0, 256)
        with suppress(InvalidManifest):
            assert len(open_axis(bytes(damaged), "audio", 1)) == len(content)
