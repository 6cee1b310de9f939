"""The faults of the pictures are the same each time, and each is of the label it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation.examples import damaged
from evaluation.labels import LABELS


@pytest.mark.parametrize("label", LABELS)
def test_a_fault_is_of_its_label_and_the_same_again(label):
    audio, rate_hz, entry = damaged(label, 0)
    again, _, entry_again = damaged(label, 0)
    assert entry == entry_again
    np.testing.assert_array_equal(audio, again)
    assert [event["label"] for event in entry["events"]] == [label]
    assert 0 < entry["events"][0]["end_seconds"] < len(audio) / rate_hz
