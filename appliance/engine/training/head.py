"""The network that is trained: dilated convolutions over frames of features, in numpy, forward and backward.

Arrays of frames are (batch, num_frames, channels) float32. A head with 486 features has 114,000
weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

CHANNELS = 64
DILATIONS = (1, 2, 4, 8, 16)
REACH = sum(DILATIONS)  # frames before and after a frame that its scores depend on

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Head:
    """A fitted head.

    mean, scale : (num_features,), what brings features to about unit scale. weights : see ``initial``.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: Weights

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits of (batch, num_frames, num_features): (batch, num_frames, num_labels)."""
        return forward(self.weights, standardized(features, self.mean, self.scale))[0]


def standardized(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the features at about unit scale, as float32."""
    return (features.astype(np.float32) - mean) * scale


def initial(num_features: int, num_labels: int, rng: np.random.Generator) -> Weights:
    """Return weights to begin with. Small heads do for few features."""
    channels = min(CHANNELS, max(8, num_features))

    def drawn(rows: int, columns: int, gain: float) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) * np.sqrt(gain / rows)).astype(np.float32)

    weights = {"in.w": drawn(num_features, channels, 2.0), "in.b": np.zeros(channels, np.float32)}
    for i in range(len(DILATIONS)):
        weights[f"{i}.wide.w"] = drawn(3 * channels, channels, 2.0)
        weights[f"{i}.wide.b"] = np.zeros(channels, np.float32)
        weights[f"{i}.mix.w"] = drawn(channels, channels, 0.1)
        weights[f"{i}.mix.b"] = np.zeros(channels, np.float32)
    weights["out.w"] = drawn(channels, num_labels, 0.1)
    weights["out.b"] = np.full(num_labels, -2.0, np.float32)
    return weights


def _around(x: np.ndarray, dilation: int) -> np.ndarray:
    """Return each frame beside those ``dilation`` before and after it, zeros beyond the ends: three times as wide."""
    batch, frames, channels = x.shape
    out = np.zeros((batch, frames, 3, channels), x.dtype)
    if dilation < frames:
        out[:, dilation:, 0] = x[:, :-dilation]
        out[:, :-dilation, 2] = x[:, dilation:]
    out[:, :, 1] = x
    return out.reshape(batch, frames, 3 * channels)


def _folded(gradient: np.ndarray, dilation: int) -> np.ndarray:
    """Return the gradient of ``_around``'s input from that of its output."""
    batch, frames, width = gradient.shape
    parts = gradient.reshape(batch, frames, 3, width // 3)
    out = parts[:, :, 1].copy()
    if dilation < frames:
        out[:, :-dilation] += parts[:, dilation:, 0]
        out[:, dilation:] += parts[:, :-dilation, 2]
    return out


def forward(weights: Mapping[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the logits of standardized features, and what ``backward`` needs."""
    h = np.maximum(x @ weights["in.w"] + weights["in.b"], 0)
    kept = [x, h]
    for i, dilation in enumerate(DILATIONS):
        wide = _around(h, dilation)
        active = np.maximum(wide @ weights[f"{i}.wide.w"] + weights[f"{i}.wide.b"], 0)
        h = h + active @ weights[f"{i}.mix.w"] + weights[f"{i}.mix.b"]
        kept += [wide, active]
    top = np.maximum(h, 0)
    kept.append(top)
    return top @ weights["out.w"] + weights["out.b"], kept


def backward(weights: Mapping[str, np.ndarray], kept: list[np.ndarray], gradient: np.ndarray) -> Weights:
    """Return the gradient of each weight from that of the logits."""
    x, first, *blocks, top = kept
    out: Weights = {}

    def through(name: str, inputs: np.ndarray, g: np.ndarray) -> np.ndarray:
        flat, rows = g.reshape(-1, g.shape[2]), inputs.reshape(-1, inputs.shape[2])
        out[f"{name}.w"], out[f"{name}.b"] = rows.T @ flat, flat.sum(axis=0)
        return (flat @ weights[f"{name}.w"].T).reshape(inputs.shape)

    g = through("out", top, gradient) * (top > 0)
    for i in reversed(range(len(DILATIONS))):
        wide, active = blocks[2 * i], blocks[2 * i + 1]
        inner = through(f"{i}.mix", active, g) * (active > 0)
        g = g + _folded(through(f"{i}.wide", wide, inner), DILATIONS[i])
    through("in", x, g * (first > 0))
    return out


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the sigmoid of logits."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


class Adam:
    """Steps along gradients, each weight at its own scale, with decay of the weights."""

    def __init__(self, weights: Weights, decay: float = 1e-4) -> None:
        self._weights = weights
        self._decay = decay
        self._mean = {name: np.zeros_like(w) for name, w in weights.items()}
        self._square = {name: np.zeros_like(w) for name, w in weights.items()}
        self._steps = 0

    def step(self, gradients: Weights, rate: float) -> None:
        """Change the weights in place."""
        self._steps += 1
        norm = float(np.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values())))
        shrink = np.float32(min(1.0, 1.0 / max(norm, 1e-12)))  # one strange crop must not spoil the weights
        for name, w in self._weights.items():
            g = gradients[name] * shrink
            self._mean[name] += np.float32(0.1) * (g - self._mean[name])
            self._square[name] += np.float32(0.01) * (g * g - self._square[name])
            mean = self._mean[name] / np.float32(1 - 0.9**self._steps)
            square = self._square[name] / np.float32(1 - 0.99**self._steps)
            w -= np.float32(rate) * (mean / (np.sqrt(square) + np.float32(1e-8)) + np.float32(self._decay) * w)
