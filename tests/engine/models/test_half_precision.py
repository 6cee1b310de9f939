"""Graphs in float16: how near their scores are, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from appliance.engine.models.gpu_options import GpuOptions
from appliance.engine.models.half_precision import to_half
from appliance.engine.models.session import Session
from appliance.engine.models.store import ModelStore, StoredModel
from appliance.errors import InvalidManifest
from tests.engine.models.test_gpu_way import stored
from tests.support import toy_models
from tests.support.appliances import ROOT

HALF = GpuOptions(precision="float16")


def graph(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> bytes:
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", None])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def branch(operator: str) -> onnx.GraphProto:
    output = helper.make_tensor_value_info(operator, TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node(operator, ["x"], [operator])], operator, [], [output])


def operators(content: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(content).graph.node]


def scores_of(model: StoredModel, how: GpuOptions, audio: np.ndarray) -> np.ndarray:
    session = Session(model, "cpu", len(audio), how)
    session.slots[0].windows[:] = audio
    return session.slots[0].score(len(audio))


def test_the_bundled_model_gives_nearly_the_same_scores() -> None:
    model = ModelStore(ROOT / "model_store").resolve("artifacts")
    audio = 0.1 * np.random.default_rng(0).standard_normal((1, model.scoring.input.window_samples)).astype(np.float32)
    audio[0, 40_000:90_000] *= 0.001
    audio[0, 100_000:100_010] = 0.9
    audio[0, 150_000:160_000] = 0
    audio[0, 180_000:] = np.clip(4 * audio[0, 180_000:], -0.3, 0.3)
    exact = scores_of(model, GpuOptions(), audio)
    half = scores_of(model, HALF, audio)
    assert exact.max() > 0.5
    assert 0 < np.abs(half - exact).max() < 0.01


def test_a_toy_model_gives_nearly_the_same_scores(tmp_path: Path) -> None:
    model = stored(toy_models.softmax_model(tmp_path))
    audio = (0.2 * np.random.default_rng(0).standard_normal((4, 8000))).astype(np.float32)
    np.testing.assert_allclose(scores_of(model, HALF, audio), scores_of(model, GpuOptions(), audio), atol=0.01)


def test_products_stay_in_float16_across_what_can_follow_them() -> None:
    weights = {"a": np.eye(4, dtype=np.float32), "b": np.eye(4, dtype=np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["p"]),
        helper.make_node("Relu", ["p"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["q"]),
        helper.make_node("Log", ["q"], ["l"]),
        helper.make_node("Add", ["l", "q"], ["y"]),
    ]
    converted = to_half(graph(nodes, weights))
    assert operators(converted) == ["Cast", "MatMul", "Relu", "MatMul", "Cast", "Log", "Add"]
    onnx.checker.check_model(onnx.load_from_string(converted), full_check=True)


def test_matrix_products_before_the_first_convolution_stay_in_float32() -> None:
    weights = {"a": np.eye(4, dtype=np.float32), "axes": np.array([2]), "c": np.ones((4, 4, 1), np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["p"]),
        helper.make_node("Unsqueeze", ["p", "axes"], ["u"]),
        helper.make_node("Conv", ["u", "c"], ["v"]),
        helper.make_node("Squeeze", ["v", "axes"], ["w"]),
        helper.make_node("MatMul", ["w", "a"], ["y"]),
    ]
    converted = onnx.load_from_string(to_half(graph(nodes, weights)))
    inputs = [list(node.input) for node in converted.graph.node if node.op_type == "MatMul"]
    assert inputs == [["x", "a"], ["w/half", "a/half"]]


@pytest.mark.parametrize(
    ("nodes", "weights", "message"),
    [
        ([helper.make_node("Abs", ["x"], ["y"])], {}, "has weights of float32"),
        ([helper.make_node("MatMul", ["x", "a"], ["y"])], {"a": np.full((4, 4), 1e6, np.float32)}, "'a' has values"),
        (
            [
                helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
                helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
                helper.make_node(
                    "If",
                    ["c"],
                    ["y"],
                    then_branch=branch("Abs"),
                    else_branch=branch("Neg"),
                ),
            ],
            {},
            "the operator If, which contains a graph",
        ),
    ],
)
def test_a_graph_that_cannot_be_converted_is_refused(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        to_half(graph(nodes, weights))


def test_a_session_says_why_it_cannot_use_float16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = stored(toy_models.softmax_model(tmp_path))
    monkeypatch.setattr("appliance.engine.models.half_precision.HEAVY", ("Gemm",))
    with pytest.raises(InvalidManifest, match="gpu_precision = float16, but the graph cannot be converted: none"):
        Session(model, "cpu", 4, HALF)
