"""Search among vectors, compared with sorting all of them."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.engine.scoring.embedding import mean_direction
from appliance.engine.scoring.vectors import VectorMatrix, nearest


def test_rows_returned_earlier_do_not_change() -> None:
    matrix = VectorMatrix()
    rng = np.random.default_rng(0)
    vectors = rng.random((50, 8), np.float32)
    views = []
    for i in range(0, 50, 5):
        matrix.append([f"{k}" for k in range(i, i + 5)], vectors[i : i + 5])
        views.append((matrix.rows, i + 5))
    assert matrix.keys == [f"{k}" for k in range(50)]
    for rows, count in views:
        assert np.array_equal(rows, vectors[:count])


@pytest.mark.parametrize("k", [0, 1, 7, 1000, 5000])
def test_nearest_equals_sorting_all(k: int) -> None:
    similarities = np.random.default_rng(k).random(1000, np.float32)
    assert np.array_equal(nearest(similarities, k), np.argsort(-similarities, kind="stable")[:k])


def test_a_mean_has_unit_length_and_the_mean_of_zero_vectors_stays_zero() -> None:
    assert np.linalg.norm(mean_direction(np.random.default_rng(0).random((9, 4)))) == pytest.approx(1)
    assert not mean_direction(np.zeros((3, 4))).any()


def test_each_part_of_a_mean_has_unit_length_by_itself() -> None:
    vectors = np.array([[3.0, 4.0, 0.0], [3.0, 4.0, 2.0]], np.float32)
    assert mean_direction(vectors, [2, 1]).tolist() == pytest.approx([0.6, 0.8, 1.0])
