"""Search among vectors against sorting all of them."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.engine.scoring.embedding import mean_direction
from appliance.engine.scoring.vectors import VectorMatrix, nearest


def test_rows_given_out_stay_as_they_were():
    matrix = VectorMatrix()
    rng = np.random.default_rng(0)
    added = rng.random((50, 8), np.float32)
    given = []
    for i in range(0, 50, 5):
        matrix.append([f"{k}" for k in range(i, i + 5)], added[i : i + 5])
        given.append((matrix.rows, i + 5))
    assert matrix.keys == [f"{k}" for k in range(50)]
    for rows, count in given:
        assert np.array_equal(rows, added[:count])


@pytest.mark.parametrize("k", [0, 1, 7, 1000, 5000])
def test_nearest_is_what_sorting_finds(k):
    similarities = np.random.default_rng(k).random(1000, np.float32)
    assert np.array_equal(nearest(similarities, k), np.argsort(-similarities, kind="stable")[:k])


def test_a_mean_has_unit_length_and_silence_none_is_no_error():
    assert np.linalg.norm(mean_direction(np.random.default_rng(0).random((9, 4)))) == pytest.approx(1)
    assert not mean_direction(np.zeros((3, 4))).any()
