"""Converts the heavy operators of a graph to float16. Needs the package ``onnx``.

Converters of whole graphs (onnxruntime's own, tried with the bundled model) let every tensor pass through float16: the
power of a loud sound is larger than float16 holds, and that of a quiet one smaller. So only products with weights are
converted, which take most of the time, and what can follow them without loss; everything else stays in float32, and so
do matrix products before the first convolution: they make a spectrum, whose quiet parts float16 would change. With
them, a confidence of the bundled model changed by 0.023, without them by 0.0001.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

CONVOLUTIONS = ("Conv", "ConvTranspose")
HEAVY = (*CONVOLUTIONS, "Gemm", "MatMul")
FOLLOWERS = ("Relu", "LeakyRelu", "MaxPool", "AveragePool")  # run in float16 if their input is in float16 anyway
LARGEST = float(np.finfo(np.float16).max)


def to_half(content: bytes) -> bytes:
    """Return an ONNX file with products in float16, and inputs and outputs in float32.

    Raises ValueError, with a phrase, if the graph cannot be converted.
    """
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # onnx raises protobuf's errors, which have no common class
        raise ValueError(f"the file is not an ONNX model: {error}") from error
    _Conversion(model).run()
    return model.SerializeToString()


class _Conversion:
    """One pass over a graph, whose nodes are in the order in which they run."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._nodes: list[NodeProto] = []
        self._half: dict[str, str] = {}  # a tensor's name to the name of its copy in float16
        self._only_half: set[str] = set()  # tensors that exist in float16 only, so far
        self._convolved = set[str]()  # tensors that depend on a convolution
        self._has_convolutions = any(node.op_type in CONVOLUTIONS for node in self._graph.node)
        self._constants = {tensor.name: tensor for tensor in self._graph.initializer}
        for node in self._graph.node:
            if node.op_type == "Constant":
                values = (a.t for a in node.attribute if a.name == "value")
                self._constants.update((node.output[0], value) for value in values)

    def run(self) -> None:
        """Replace the graph's nodes. Raises ValueError."""
        num_heavy = 0
        for node in self._graph.node:
            if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute):
                raise ValueError(f"it has the operator {node.op_type}, which contains a graph")
            if node.op_type in CONVOLUTIONS or not self._convolved.isdisjoint(node.input):
                self._convolved.update(node.output)
            if self._is_heavy(node) or self._follows(node):
                num_heavy += node.op_type in HEAVY
                self._convert(node)
            else:
                self._need_float(node.input)
            self._nodes.append(node)
        if num_heavy == 0:
            raise ValueError(f"none of its operators {', '.join(HEAVY)} has weights of float32")
        self._need_float(output.name for output in self._graph.output)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)

    def _is_heavy(self, node: NodeProto) -> bool:
        if self._has_convolutions and self._convolved.isdisjoint(node.output):
            return False
        weights = [self._constants[name] for name in node.input if name in self._constants]
        return node.op_type in HEAVY and bool(weights) and all(w.data_type == TensorProto.FLOAT for w in weights)

    def _follows(self, node: NodeProto) -> bool:
        return node.op_type in FOLLOWERS and len(node.output) == 1 and node.input[0] in self._only_half

    def _convert(self, node: NodeProto) -> None:
        node.input[:] = [self._in_half(name) for name in node.input]
        for i, name in enumerate(node.output):
            node.output[i] = self._half[name] = f"{name}/half"
            self._only_half.add(name)

    def _in_half(self, name: str) -> str:
        if name and name not in self._half:
            half = self._half[name] = f"{name}/half"
            if name in self._constants:
                self._graph.initializer.append(self._rounded(self._constants[name], half))
            else:
                self._need_float([name])
                self._nodes.append(helper.make_node("Cast", [name], [half], to=TensorProto.FLOAT16))
        return self._half.get(name, name)

    def _rounded(self, tensor: TensorProto, name: str) -> TensorProto:
        values = numpy_helper.to_array(tensor)
        if values.size and not np.abs(values).max() <= LARGEST:
            raise ValueError(f"the tensor {tensor.name!r} has values that float16 cannot hold")
        return numpy_helper.from_array(values.astype(np.float16), name)

    def _need_float(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._only_half:
                self._only_half.remove(name)
                self._nodes.append(helper.make_node("Cast", [self._half[name]], [name], to=TensorProto.FLOAT))
