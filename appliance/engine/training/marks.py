"""What people said of a recording, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from appliance.engine.training.intervals import Interval
from appliance.engine.training.request import TrainingRecording
from appliance.engine.training.split import negatives_of

UNKNOWN, UNSURE, ABSENT, PRESENT = range(4)
UNKNOWN_WEIGHT = 0.05  # in fitting: unheard time mostly has no event, but nobody said so


@dataclass(frozen=True)
class Marked:
    """A recording for fitting.

    features : (num_frames, num_features) float16. states : (num_frames, num_labels) uint8, of the four above.
    """

    recording: TrainingRecording
    features: np.ndarray
    states: np.ndarray


def frame_states(recording: TrainingRecording, labels: Sequence[str], num_frames: int, frame_ms: float) -> np.ndarray:
    """Return what is known of each frame: (num_frames, num_labels) uint8. An event has one frame at least."""
    states = np.full((num_frames, len(labels)), UNKNOWN, np.uint8)

    def paint(column: int, stretches: Sequence[Interval], state: int) -> None:
        for start_ms, end_ms in stretches:
            first = min(int(start_ms / frame_ms), num_frames - 1)
            states[first : max(first + 1, int(np.ceil(end_ms / frame_ms))), column] = state

    for column, label in enumerate(labels):
        paint(column, negatives_of(recording, label), ABSENT)
        paint(column, [(s.start_ms, s.end_ms) for s in recording.unsures if s.label == label], UNSURE)
        paint(column, [(s.start_ms, s.end_ms) for s in recording.events if s.label == label], PRESENT)
    return states
