"""Detections that need no model: the decoder knows where audio is missing in a stream.

They have the type that the bundled model has for a gap, and are reported only if the model at work has it too, so that
a model with other labels keeps to them. The threshold does not concern a fact; the merge window and the client's own
minimum duration do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from appliance.engine.scoring.events import Detection, DetectionConfig, LabelRule, shortest_point_ms
from appliance.engine.scoring.spans import TOLERANCE_MS

LABEL = "dropout"


def with_losses(
    detections: Sequence[Detection],
    losses_ms: Sequence[tuple[float, float]],
    rules: Sequence[LabelRule],
    config: DetectionConfig,
) -> list[Detection]:
    """Return the detections with those of the losses, in order of their start.

    The model hears most losses too. What it reports of the same type in the same place is left out: the stream knows
    the times exactly. losses_ms : start and end of each, in order.
    """
    rule = next((rule for rule in rules if rule.name == LABEL), None)
    if rule is None or not losses_ms:
        return list(detections)
    facts = _joined(losses_ms, config.choices.get("merge_window_ms", rule.merge_window_ms))
    facts = [fact for fact in facts if fact.end_ms - fact.start_ms >= shortest_point_ms(config)]
    heard = [detection for detection in detections if not _is_one_of(detection, facts)]
    return sorted([*heard, *facts], key=lambda event: (event.start_ms, event.end_ms, event.artifact_type))


def _joined(losses_ms: Sequence[tuple[float, float]], merge_window_ms: float) -> list[Detection]:
    """Join losses a merge window or less apart."""
    spans: list[tuple[float, float]] = []
    for start, end in losses_ms:
        if spans and start - spans[-1][1] <= merge_window_ms + TOLERANCE_MS:
            start, end = spans[-1][0], max(end, spans.pop()[1])
        spans.append((start, end))
    return [
        Detection(LABEL, math.floor(start + TOLERANCE_MS), math.ceil(end - TOLERANCE_MS), 1.0, "stream")
        for start, end in spans
    ]


def _is_one_of(detection: Detection, facts: Sequence[Detection]) -> bool:
    return detection.artifact_type == LABEL and any(
        detection.start_ms < fact.end_ms and detection.end_ms > fact.start_ms for fact in facts
    )
