"""Looks into an ONNX file before onnxruntime does: it must be complete in itself and use no operators of others.

ONNX can keep tensors outside its file, by path, and onnxruntime also reads them from an address in memory. Only the
messages that lead to nodes and tensors are read, by their numbers in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto;
the package ``onnx`` would read all of a file into objects, weights too.
"""

from __future__ import annotations

from collections.abc import Iterator

from appliance.errors import InvalidManifest

OWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # of operators that onnxruntime itself has

_MESSAGES = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_FUNCTION_NAME, _FUNCTION_DOMAIN = 1, 10
_OPERATOR, _DOMAIN = 4, 7
_TENSOR_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14

_Field = tuple[int, int | memoryview]


def check_onnx(content: bytes) -> None:
    """Raise InvalidManifest, with a phrase, if an ONNX file needs other files or operators of a custom domain."""
    used: set[tuple[str, str]] = set()
    defined: set[tuple[str, str]] = set()
    waiting = [("model", memoryview(content))]
    has_graph = False
    while waiting:  # not by recursion: a file may nest as deep as it likes
        kind, message = waiting.pop()
        fields = list(_fields(message))
        inner = _MESSAGES[kind]
        waiting += [
            (inner[number], value) for number, value in fields if number in inner and isinstance(value, memoryview)
        ]
        has_graph = has_graph or kind == "graph"
        if kind == "node":
            used.add((_text(fields, _DOMAIN), _text(fields, _OPERATOR)))
        if kind == "function":
            defined.add((_text(fields, _FUNCTION_DOMAIN), _text(fields, _FUNCTION_NAME)))
        if kind == "tensor" and any(number in (_EXTERNAL_DATA, _DATA_LOCATION) and value for number, value in fields):
            name = _text(fields, _TENSOR_NAME)
            raise InvalidManifest(f"the tensor {name!r} is kept outside the file; a model must be one file")
    if not has_graph:
        raise InvalidManifest("the file is not an ONNX model")
    for domain, operator in sorted(used - defined):
        if domain not in OWN_DOMAINS:
            raise InvalidManifest(f"the operator {operator!r} is of the custom domain {domain!r}")


def open_axis(content: bytes, input_name: str, axis: int) -> bytes:
    """Return an ONNX file whose input ``input_name`` may have any length along ``axis``.

    A graph is often traced at one length and works at others; only the length that its input declares forbids them.
    The declared number is replaced in its place by a name that takes as many bytes.
    """
    opened = bytearray(content)
    sizes = _input_sizes(memoryview(opened), input_name) or []
    size = sizes[axis] if axis < len(sizes) else memoryview(b"")
    if len(size) > 2 and size[0] == 0x08:  # dim_value, a number; otherwise the axis is free already
        size[:] = bytes((0x12, len(size) - 2)) + b"n" * (len(size) - 2)  # dim_param, a name
    return bytes(opened)


def input_axes(content: bytes, input_name: str) -> list[int | str] | None:
    """Return an input's axes: a number if its size is fixed, else its name, which may be "". None without a shape."""
    sizes = _input_sizes(memoryview(content), input_name)
    if sizes is None:
        return None
    return [_axis(list(_fields(size))) for size in sizes]


def _axis(fields: list[_Field]) -> int | str:
    """Return dim_value or dim_param."""
    numbers = [value for number, value in fields if number == 1 and isinstance(value, int)]
    return numbers[-1] if numbers else _text(fields, 2)


def _input_sizes(content: memoryview, input_name: str) -> list[memoryview] | None:
    """Return the messages that tell the sizes of an input's axes. None if there is no such input, or no shape."""
    for number, graph in _fields(content):
        for info in _messages(graph, 11) if number == 7 and isinstance(graph, memoryview) else ():
            if _text(list(_fields(info)), 1) == input_name:
                shapes = [
                    s for kind in _messages(info, 2) for tensor in _messages(kind, 1) for s in _messages(tensor, 2)
                ]
                return list(_messages(shapes[-1], 1)) if shapes else None
    return None


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """Yield the messages in a field."""
    return (value for number, value in _fields(message) if number == wanted and isinstance(value, memoryview))


def _text(fields: list[_Field], wanted: int) -> str:
    """Return a field as text, or "". If it is there more than once, the last counts, as in protobuf."""
    values = [bytes(value) for number, value in fields if number == wanted and isinstance(value, memoryview)]
    return values[-1][:200].decode(errors="replace") if values else ""


def _fields(message: memoryview) -> Iterator[_Field]:
    """Yield the number and the value of each field of a protobuf message; of fixed-size fields only the number."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag >> 32:  # protobuf would drop these bits and see another field
            raise InvalidManifest("the file is not an ONNX model")
        number, wire_type = tag >> 3, tag & 7
        value: int | memoryview = 0
        if wire_type == 0:
            value, position = _varint(message, position)
        elif wire_type == 2:
            size, position = _varint(message, position)
            value, position = message[position : position + size], position + size
        elif wire_type in (1, 5):
            position += 8 if wire_type == 1 else 4
        else:
            raise InvalidManifest("the file is not an ONNX model")
        if position > len(message):
            raise InvalidManifest("the file is not an ONNX model, or is cut off")
        yield number, value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the number at ``position`` and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise InvalidManifest("the file is not an ONNX model, or is cut off")
