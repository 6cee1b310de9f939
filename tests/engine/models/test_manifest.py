"""The rule of a label: its limits and its defaults are the constants that the API and the command line use."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from appliance.engine.models.manifest import (
    DEFAULT_MERGE_WINDOW_MS,
    DEFAULT_MIN_DURATION_MS,
    DEFAULT_THRESHOLD,
    MAX_MERGE_WINDOW_MS,
    MAX_MIN_DURATION_MS,
    MAX_THRESHOLD,
    MIN_THRESHOLD,
    Defaults,
    Rule,
)


def test_the_constants_are_those_of_the_contract() -> None:
    assert (MIN_THRESHOLD, MAX_THRESHOLD, MAX_MERGE_WINDOW_MS, MAX_MIN_DURATION_MS) == (0, 1, 5000, 1000)
    assert (DEFAULT_THRESHOLD, DEFAULT_MERGE_WINDOW_MS, DEFAULT_MIN_DURATION_MS) == (0.5, 200, 50)
    assert Defaults() == Defaults(
        threshold=DEFAULT_THRESHOLD, merge_window_ms=DEFAULT_MERGE_WINDOW_MS, min_duration_ms=DEFAULT_MIN_DURATION_MS
    )
    assert Rule() == Rule(threshold=None, merge_window_ms=None, min_duration_ms=None)


@pytest.mark.parametrize("table", [Rule, Defaults])
def test_a_rule_is_accepted_at_its_limits_and_rejected_beyond(table: type[Rule | Defaults]) -> None:
    table(threshold=MIN_THRESHOLD, merge_window_ms=0, min_duration_ms=0)
    table(threshold=MAX_THRESHOLD, merge_window_ms=MAX_MERGE_WINDOW_MS, min_duration_ms=MAX_MIN_DURATION_MS)
    for key, value in (
        ("threshold", MAX_THRESHOLD + 0.01),
        ("threshold", MIN_THRESHOLD - 0.01),
        ("threshold", float("nan")),
        ("merge_window_ms", MAX_MERGE_WINDOW_MS + 1),
        ("merge_window_ms", -1),
        ("min_duration_ms", MAX_MIN_DURATION_MS + 1),
        ("min_duration_ms", -1),
    ):
        with pytest.raises(ValidationError, match=key):
            table.model_validate({key: value})
