"""Gives the graph of artifacts 0.1.0 the output head_features, which it was exported without. Its scores stay the same.

Run ``PYTHONPATH=scripts/train .venv/bin/python -m training.expose``. ``export.py`` gives it to every later version.
"""

from __future__ import annotations

import hashlib

import onnx
from onnx import TensorProto, helper

from training.places import ARTIFACTS

VERSION = "0.1.0"
HIDDEN = ["/network/members.0/out/out.2/Relu_output_0", "/network/members.1/out/out.2/Relu_output_0"]
FINE = "/network/members.0/Slice_3_output_0"  # a part of the front end's features
SIZE = 2 * 128 + 128 + 102


def main() -> None:
    """Write the graph, and its checksum and the name of the output into the manifest."""
    folder = ARTIFACTS / VERSION
    model = onnx.load(folder / "model.onnx")
    if any(output.name == "head_features" for output in model.graph.output):
        return
    features = next(node.input[0] for node in model.graph.node if FINE in node.output)
    model.graph.node.append(helper.make_node("Concat", [*HIDDEN, features], ["head_channels"], axis=1))
    model.graph.node.append(helper.make_node("Transpose", ["head_channels"], ["head_features"], perm=[0, 2, 1]))
    shape = ["batch", "frames", SIZE]
    model.graph.output.append(helper.make_tensor_value_info("head_features", TensorProto.FLOAT, shape))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / "model.onnx")
    manifest = folder / "manifest.toml"
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    lines = [f'sha256 = "{digest}"' if line.startswith("sha256") else line for line in manifest.read_text().split("\n")]
    lines.insert(lines.index('embedding = "embedding"') + 1, 'features = "head_features"')
    manifest.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
