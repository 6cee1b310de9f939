"""Writes fitted heads and the base model as one graph, and its manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.utils
from onnx import TensorProto, helper, numpy_helper

from appliance.engine.models.manifest import Manifest
from appliance.engine.models.store import GRAPH, MANIFEST, StoredModel
from appliance.engine.training.calibrate import HYSTERESIS_RATIO, MERGE_WINDOW_MS, Calibration
from appliance.engine.training.figures import LEAST_SCORE
from appliance.engine.training.head import DILATIONS, Head
from appliance.engine.training.request import TrainingRequest
from appliance.errors import InvalidManifest


def write_model(
    request: TrainingRequest,
    base: StoredModel,
    heads: Sequence[Head],
    calibrations: Sequence[Calibration],
    folder: Path,
) -> None:
    """Write model.onnx and manifest.toml into ``folder``. The mean of the heads counts, calibrated.

    Raises InvalidManifest if the base model cannot be extended.
    """
    manifest = base.scoring
    if request.mode == "append" and manifest.output.activation == "softmax":
        raise InvalidManifest(f"{manifest.id} shares one probability among its labels, so no label can be appended.")
    graph = _Graph(onnx.load_from_string(base.read(GRAPH)), manifest, f"{request.name}@{request.version}/")
    content = graph.extended(request.mode == "append", heads, calibrations)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (folder / MANIFEST).write_text(manifest_text(request, manifest, calibrations, digest), encoding="utf-8")


class _Graph:
    """The base model's graph while nodes are added to it. All new names begin with ``prefix``."""

    def __init__(self, model: onnx.ModelProto, manifest: Manifest, prefix: str) -> None:
        self._model = model
        self._manifest = manifest
        self._prefix = prefix

    def extended(self, append: bool, heads: Sequence[Head], calibrations: Sequence[Calibration]) -> bytes:
        """Return the graph with the heads' scores, beside those of the base model or in their place."""
        output = self._manifest.output
        features = str(output.features)
        self._require_opset()
        if append:
            self._rename(output.name, base_scores := self._prefix + "base")
        else:
            inputs = [self._manifest.input.name]
            self._model = onnx.utils.Extractor(self._model).extract_model(inputs, [features])
        scores = self._scores(features, heads, calibrations, logits=append and output.activation == "sigmoid")
        if append:
            self._add("Concat", [base_scores, scores], output.name, axis=2)
        else:
            self._add("Identity", [scores], output.name)
            info = helper.make_tensor_value_info(output.name, TensorProto.FLOAT, None)
            self._model.graph.output.insert(0, info)
        self._declare_scores(output.name)
        onnx.checker.check_model(self._model)
        return self._model.SerializeToString(deterministic=True)

    def _require_opset(self) -> None:
        version = max((o.version for o in self._model.opset_import if o.domain in ("", "ai.onnx")), default=0)
        if version < 13:
            raise InvalidManifest(f"{self._manifest.id}: its graph has operators of set {version}; 13 are needed.")

    def _rename(self, old: str, new: str) -> None:
        graph = self._model.graph
        for node in graph.node:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    if name == old:
                        names[i] = new

    def _declare_scores(self, name: str) -> None:
        """Leave the shape of the scores open but for the batch: the number of labels is another."""
        for info in self._model.graph.output:
            if info.name == name:
                info.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "frames", "labels"]))
        kept = [info for info in self._model.graph.value_info if info.name != name]
        del self._model.graph.value_info[:]
        self._model.graph.value_info.extend(kept)

    def _add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._model.graph.node.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def _constant(self, name: str, value: np.ndarray) -> str:
        self._model.graph.initializer.append(numpy_helper.from_array(np.array(value, order="C"), self._prefix + name))
        return self._prefix + name

    def _scores(
        self, features: str, heads: Sequence[Head], calibrations: Sequence[Calibration], *, logits: bool
    ) -> str:
        """Add the heads, their mean and the calibration. Returns the name of (batch, frames, labels)."""
        p = self._prefix
        own = [self._head(features, head, f"{i}/") for i, head in enumerate(heads)]
        opposite = [self._add("Neg", [x], f"{p}{i}/opposite") for i, x in enumerate(own)]
        logit = self._add("Sub", [self._log_mean(opposite, "score"), self._log_mean(own, "rest")], p + "logit")
        scale = self._constant("scale", np.array([c.scale for c in calibrations], np.float32))
        offset = self._constant("offset", np.array([c.offset for c in calibrations], np.float32))
        line = self._add("Add", [self._add("Mul", [logit, scale], p + "scaled"), offset], p + "line")
        return line if logits else self._add("Sigmoid", [line], p + "scores")

    def _log_mean(self, exponents: Sequence[str], name: str) -> str:
        """Add the logarithm of the mean of 1 / (1 + exp(x)), which is right to the last digits however small it is.

        Sigmoid, and 1 less a score, are not below 1e-4: with them, calibrated scores were up to 3.5e-5 off.
        """
        p = self._prefix + name
        one = self._constant(f"{name}/one", np.array(1, np.float32))
        least = self._constant(f"{name}/least", np.array(LEAST_SCORE, np.float32))
        shares = []
        for i, x in enumerate(exponents):
            odds = self._add("Add", [self._add("Exp", [x], f"{p}/{i}/exp"), one], f"{p}/{i}/odds")
            shares.append(self._add("Reciprocal", [odds], f"{p}/{i}"))
        return self._add("Log", [self._add("Max", [self._add("Mean", shares, p), least], f"{p}/clipped")], f"{p}/log")

    def _head(self, features: str, head: Head, own: str) -> str:
        """Add one head. Returns the name of its logits."""
        p, w = self._prefix + own, head.weights
        centred = self._add("Sub", [features, self._constant(own + "mean", head.mean)], p + "centred")
        x = self._add("Mul", [centred, self._constant(own + "unit", head.scale)], p + "standardized")
        h = self._add("Relu", [self._linear(x, "in", w, own)], p + "in/relu")
        h = self._add("Transpose", [h], p + "channels", perm=[0, 2, 1])
        for i, dilation in enumerate(DILATIONS):
            channels = w[f"{i}.mix.b"].shape[0]
            # (3 * channels, channels), the three frames one after another, to (outputs, inputs, 3)
            wide = w[f"{i}.wide.w"].reshape(3, channels, channels).transpose(2, 1, 0)
            constants = [self._constant(f"{own}{i}.wide.w", wide), self._constant(f"{own}{i}.wide.b", w[f"{i}.wide.b"])]
            pads = [dilation, dilation]
            y = self._add("Conv", [h, *constants], f"{p}{i}/wide", dilations=[dilation], pads=pads, kernel_shape=[3])
            y = self._add("Relu", [y], f"{p}{i}/active")
            mix = w[f"{i}.mix.w"].T[:, :, np.newaxis]
            constants = [self._constant(f"{own}{i}.mix.w", mix), self._constant(f"{own}{i}.mix.b", w[f"{i}.mix.b"])]
            y = self._add("Conv", [y, *constants], f"{p}{i}/mix", kernel_shape=[1])
            h = self._add("Add", [h, y], f"{p}{i}/sum")
        h = self._add("Transpose", [self._add("Relu", [h], p + "top")], p + "frames", perm=[0, 2, 1])
        return self._linear(h, "out", w, own)

    def _linear(self, x: str, name: str, weights: dict[str, np.ndarray], own: str) -> str:
        p = f"{self._prefix}{own}{name}"
        product = self._add("MatMul", [x, self._constant(f"{own}{name}.w", weights[f"{name}.w"])], f"{p}/product")
        return self._add("Add", [product, self._constant(f"{own}{name}.b", weights[f"{name}.b"])], f"{p}/sum")


def manifest_text(request: TrainingRequest, base: Manifest, calibrations: Sequence[Calibration], digest: str) -> str:
    """Return the manifest of the new model: the base model's input, and its labels if they are kept."""
    append = request.mode == "append"
    about = f"Trained on {base.id} for {', '.join(request.labels)}"
    tables: list[tuple[str, dict[str, Any]]] = [
        (
            "",
            {
                "name": request.name,
                "version": request.version,
                "task": "detection",
                "description": about,
                "licence": f"weights of {base.id} ({base.licence}), and weights trained here",
                "sha256": digest,
            },
        ),
        ("[input]", base.input.model_dump(exclude_none=True, exclude_defaults=True)),
        ("[output]", _output(base, append)),
        ("[defaults]", base.defaults.model_dump() if append else {"merge_window_ms": MERGE_WINDOW_MS}),
    ]
    if append:
        tables += [("[[labels]]", label.model_dump(exclude_none=True, exclude_defaults=True)) for label in base.labels]
    for label, calibration in zip(request.labels, calibrations, strict=True):
        own = {
            "name": label,
            "threshold": calibration.threshold,
            "merge_window_ms": MERGE_WINDOW_MS,
            "min_duration_ms": calibration.min_duration_ms,
            "hysteresis_ratio": HYSTERESIS_RATIO,
        }
        tables.append(("[[labels]]", own))
    blocks = [
        "\n".join([*[head] * bool(head), *(f"{k} = {_toml(v)}" for k, v in rows.items())]) for head, rows in tables
    ]
    return "\n\n".join(blocks) + "\n"


def _output(base: Manifest, append: bool) -> dict[str, Any]:
    output = base.output.model_dump(exclude_none=True, exclude_defaults=True)
    if not append:
        output.pop("embedding", None)
        output["activation"] = "none"
    return output


def _toml(value: Any) -> str:
    """Return a value in TOML. JSON's strings, numbers and truth values are also TOML's."""
    return json.dumps(value, ensure_ascii=False)
