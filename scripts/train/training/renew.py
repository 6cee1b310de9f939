"""Makes a new version of the detector from an old one: with today's front end, and the same networks and calibration.

Run ``python -m training.renew OLD NEW`` in the training environment. The features may change by rounding only, so the
new graph is compared with the old one.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import compose

from training.clips import CLIP_SAMPLES
from training.features import write_front_end
from training.front_end import FrontEnd
from training.places import ARTIFACTS

OLD, NEW = "/front_end/", "front/"
MOST_APART = 1e-3  # of a score; measured on the committed clips: 2e-5


def front_end(path: Path) -> onnx.ModelProto:
    """Return the front end as a graph from ``waveform`` to ``features`` and ``low``, its inner names begun with NEW."""
    write_front_end(FrontEnd(), path)
    model = compose.add_prefix(onnx.load(path), NEW, rename_inputs=False, rename_outputs=False)
    path.unlink()
    return model


def renewed(model: onnx.ModelProto, front: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with ``front`` in place of its own front end."""
    made = {name: node for node in model.graph.node for name in node.output}
    from_front = [
        name
        for node in model.graph.node
        if node.name.startswith("/network/")
        for name in node.input
        if name in made and made[name].name.startswith(OLD) and made[name].op_type != "Constant"
    ]
    # The network cuts the log-mel off the features first, and joins the low bins later.
    features, low = dict.fromkeys(from_front)
    wanted, names = [output.name for output in model.graph.output], set()
    while wanted:
        name = wanted.pop()
        if name in made and name not in names and name not in (features, low):
            names.add(name)
            wanted += made[name].input
    kept = [node for node in model.graph.node if names.intersection(node.output)]
    for node in kept:
        for place, name in enumerate(node.input):
            node.input[place] = {features: "features", low: "low"}.get(name, name)
    needed = {name for node in kept for name in node.input}
    values = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    graph = onnx.helper.make_graph(
        [*front.graph.node, *kept],
        model.graph.name,
        model.graph.input,
        model.graph.output,
        [*front.graph.initializer, *values],
    )
    result = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(result, full_check=True)
    return result


def apart(one: Path, other: Path) -> float:
    """Return the largest difference of a score between two graphs, on noise with clicks and gaps."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.05, (2, CLIP_SAMPLES)).astype(np.float32)
    x[:, 40_000:44_000] = 0
    x[:, 100_000:260_000:9_000] = 0.9
    scores = [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["scores"], {"waveform": x})[0]
        for path in (one, other)
    ]
    return float(np.abs(scores[0] - scores[1]).max())


def main() -> None:
    old, new = (ARTIFACTS / version for version in sys.argv[1:3])
    shutil.copytree(old, new)
    path = new / "model.onnx"
    onnx.save(renewed(onnx.load(old / "model.onnx"), front_end(path)), path)
    if (difference := apart(old / "model.onnx", path)) > MOST_APART:
        raise RuntimeError(f"a score differs by {difference}")
    text = (new / "manifest.toml").read_text()
    for key, value in (("version", new.name), ("sha256", hashlib.sha256(path.read_bytes()).hexdigest())):
        line = next(line for line in text.splitlines() if line.startswith(f"{key} = "))
        text = text.replace(line, f'{key} = "{value}"')
    (new / "manifest.toml").write_text(text)


if __name__ == "__main__":
    main()
