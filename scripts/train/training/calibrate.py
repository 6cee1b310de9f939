"""Calibration: from the network's scores to confidences that can be read as probabilities, fitted on event maxima.

For each label, the development clips and clean recordings are cut into events at several thresholds. A logistic curve
is fitted to the maxima of the events and whether they are right. Clean recordings count in proportion to their hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from appliance.engine.training import figures
from appliance.engine.training.figures import logit
from training.events import Event, Rule, detect, matched
from training.labels import LABELS

Scored = list[tuple[np.ndarray, list[Event]]]  # (scores (frames, labels), true events) of each recording

LOGIT_RANGE = 13.0


def maxima(scored: Scored, label: str, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the maxima of one label's events at ``threshold``, (events,), and which are right, (events,) bool."""
    tops: list[float] = []
    right: list[bool] = []
    for scores, true in scored:
        detections = [event for event in detect(scores, {label: Rule(threshold)}) if event.label == label]
        hits, _ = matched(detections, [event for event in true if event.label == label])
        tops.extend(event.confidence for event in detections)
        right.extend(hits)
    return np.array(tops), np.array(right, bool)


@dataclass(frozen=True)
class Curve:
    """Calibrated logit = scale * logit + offset."""

    scale: float
    offset: float

    def shifted(self, by: float) -> Curve:
        """Return a curve whose logits are higher by so much."""
        return Curve(self.scale, self.offset + by)


def fit_curve(scored: Scored, label: str) -> Curve:
    """Return the logistic curve of one label.

    The cut is repeated at the threshold that the curve itself maps to one half.
    """
    threshold = 0.4
    curve = Curve(1.0, 0.0)
    for _ in range(4):
        tops, right = maxima(scored, label, threshold)
        low_tops, low_right = maxima(scored, label, threshold * 0.6)
        under = low_tops < threshold
        x = logit(np.concatenate([tops, low_tops[under]]))
        y = np.concatenate([right, low_right[under]]).astype(float)
        if len(x) < 20 or y.sum() < 5 or y.sum() > len(y) - 3:
            return curve

        def cost(parameters: np.ndarray, x: np.ndarray = x, y: np.ndarray = y) -> float:
            z = np.exp(parameters[0]) * x + parameters[1]
            return float(np.mean(np.logaddexp(0, z) - y * z) + 1e-3 * parameters[0] ** 2)

        best = minimize(cost, [0.0, 0.0], method="Nelder-Mead").x
        curve = Curve(float(np.exp(best[0])), float(best[1]))
        threshold = float(np.clip(1 / (1 + np.exp(curve.offset / curve.scale)), 0.15, 0.93))
    return curve


def calibration_error(scored: Scored) -> float:
    """Return the expected calibration error of event maxima over all labels, events cut at 0.3."""
    tops, right = (np.concatenate(parts) for parts in zip(*(maxima(scored, name, 0.3) for name in LABELS), strict=True))
    return figures.calibration_error([*zip(tops.tolist(), right.tolist(), strict=True)])


def apply(scores: np.ndarray, curves: dict[str, Curve]) -> np.ndarray:
    """Return calibrated scores (…, labels)."""
    scale = np.array([curves[name].scale for name in LABELS])
    offset = np.array([curves[name].offset for name in LABELS])
    return 1 / (1 + np.exp(-np.clip(logit(scores) * scale + offset, -30, 30)))
