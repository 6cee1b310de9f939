"""The table of the bench: medians, targets, and wall times without the share of other programs."""

from __future__ import annotations

import pytest

from tests.bench import costs
from tests.bench.costs import Cost
from tests.bench.figures import Figure, percentile


@pytest.mark.parametrize(
    ("values", "target", "reached"),
    [([0.9, 0.96, 0.97], "≥ 0.95", True), ([0.94], "≥ 0.95", False), ([41.0], "≤ 40", False), ([1.0], "", None)],
)
def test_a_figure_is_the_median_beside_its_target(values: list[float], target: str, reached: bool | None) -> None:
    assert Figure("figure", values, target).reached is reached


def test_the_row_names_the_spread_of_the_rounds() -> None:
    assert Figure("speed", [1.0, 3.0, 2.0], "≥ 1.6").row() == "| speed | 2 | ≥ 1.6 | yes | 1 to 3 |"


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile(range(1, 101), 0.95) == 96
    assert percentile([7.0], 0.99) == 7.0


def test_idle_cores_count_and_other_programs_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "num_cores", lambda: 2)
    assert Cost(wall=10.0, cpu=12.0, others=4.0).own_wall == 8.0  # one core idle for 4 s
    assert Cost(wall=10.0, cpu=12.0, others=9.0).own_wall == 6.0
