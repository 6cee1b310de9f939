"""Calibration looks at one label at a time."""

from __future__ import annotations

import numpy as np
from training.calibrate import maxima
from training.events import Event
from training.labels import LABELS


def test_the_maxima_of_a_label_are_of_its_events_alone() -> None:
    """A score of another label that is exactly 1 is at every threshold."""
    scores = np.zeros((200, len(LABELS)))
    scores[20:30, LABELS.index("hum")] = 1.0
    scores[100:110, LABELS.index("click")] = 0.75
    tops, right = maxima([(scores, [Event("click", 1.0, 1.1)])], "click", 0.5)
    np.testing.assert_allclose(tops, [0.75], atol=1e-4)
    assert right.tolist() == [True]
