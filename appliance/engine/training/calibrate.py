"""From a head's scores to confidences and a threshold, fitted on recordings that the head was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from appliance.engine.scoring.events import Detection
from appliance.engine.scoring.spans import find_spans
from appliance.engine.training.figures import logit
from appliance.engine.training.judge import Tally, tally, total
from appliance.engine.training.request import TrainingRecording

LOW_THRESHOLD = 0.1  # of the scores before calibration: what is below is never reported
HYSTERESIS_RATIO = 0.5
MERGE_WINDOW_MS = 200
THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
PRIOR = 1e-2  # pull of the scale towards 1, so that few detections do not make it extreme

Scored = Sequence[tuple[TrainingRecording, np.ndarray]]  # a recording, and one label's scores (num_frames,)


@dataclass(frozen=True)
class Calibration:
    """Confidence = sigmoid(scale * logit(score) + offset); detections begin at ``threshold``."""

    scale: float
    offset: float
    threshold: float
    min_duration_ms: int

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Return the confidences of scores."""
        z = self.scale * logit(scores) + self.offset
        return 0.5 * (1.0 + np.tanh(0.5 * z))


def detections_in(
    scores: np.ndarray, label: str, frame_ms: float, threshold: float, min_duration_ms: int
) -> list[Detection]:
    """Return one label's detections in (num_frames,) scores, by the appliance's rule."""
    edges = frame_ms * np.arange(len(scores) + 1)
    spans = find_spans(
        scores,
        edges,
        threshold=threshold,
        merge_window_ms=MERGE_WINDOW_MS,
        min_duration_ms=min_duration_ms,
        hysteresis_ratio=HYSTERESIS_RATIO,
    )
    return [
        Detection(label, int(edges[first]), int(np.ceil(edges[last])), float(scores[first:last].max()))
        for first, last in spans
    ]


def min_duration_ms(recordings: Sequence[TrainingRecording], label: str) -> int:
    """Return the minimum duration for a label: 50 ms, or less if its events are that short."""
    durations = [e.end_ms - e.start_ms for r in recordings for e in r.events if e.label == label]
    return int(min(50, np.quantile(durations, 0.1) / 2)) if durations else 50


def calibrate(scored: Scored, label: str, frame_ms: float, most_alarms_per_hour: float) -> Calibration:
    """Return the calibration of a label: a line on the logits of detections, then the threshold that suits best.

    That is the one with the highest recall among those with no more alarms than allowed; if there is none, the one
    with the fewest alarms.
    """
    shortest = min_duration_ms([recording for recording, _ in scored], label)

    def judged(threshold: float, calibration: Calibration | None) -> Tally:
        return total(
            [
                tally(recording, label, detections_in(s, label, frame_ms, threshold, shortest))
                for recording, scores in scored
                for s in [calibration.apply(scores) if calibration else scores]
            ]
        )

    scale, offset = _line(judged(LOW_THRESHOLD, None).peaks + judged(0.4, None).peaks)
    plain = Calibration(scale, offset, 0.5, shortest)
    tried = {float(threshold): judged(float(threshold), plain) for threshold in THRESHOLDS}
    allowed = [t for t, counted in tried.items() if counted.alarms_per_hour <= most_alarms_per_hour]
    if allowed:
        worth = {t: (tried[t].recall, tried[t].f1) for t in allowed}
        equal = [t for t in allowed if worth[t] == max(worth.values())]
        best = equal[len(equal) // 2]  # the middle is the furthest from where it would be worse
    else:
        best = min(tried, key=lambda t: (tried[t].alarms, -t))
    return Calibration(scale, offset, best, shortest)


def _line(peaks: Sequence[tuple[float, bool]]) -> tuple[float, float]:
    """Return the scale and the offset of the logistic curve through detections, by Newton's method."""
    if not any(right for _, right in peaks) or all(right for _, right in peaks):
        return 1.0, 0.0
    x = logit(np.array([confidence for confidence, _ in peaks]))
    y = np.array([right for _, right in peaks], float)
    design = np.stack([x, np.ones_like(x)], axis=1)
    line, prior = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    pull = np.diag([PRIOR, PRIOR / 10]) * len(y)
    for _ in range(50):
        p = 0.5 * (1.0 + np.tanh(0.5 * design @ line))
        gradient = design.T @ (p - y) + pull @ (line - prior)
        hessian = (design * (p * (1 - p))[:, np.newaxis]).T @ design + pull
        step = np.linalg.solve(hessian, gradient)
        line = line - step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
    return float(np.clip(line[0], 0.1, 10.0)), float(np.clip(line[1], -10.0, 10.0))
