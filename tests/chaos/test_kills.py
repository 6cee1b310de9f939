"""The short run of ``scripts/chaos``: 30 kills at random moments under load. The long run has as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import run

KILLS = 30


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_lose_nothing_and_double_nothing(tmp_path: Path, models: Path) -> None:
    result = run(tmp_path, models, seed=1, kills=KILLS, seconds=300, mean_pause_seconds=1.0)
    print(result.table())
    assert result.audit.faultless, result.audit
    assert result.faults.total() == KILLS
    assert result.audit.confirmed > 100
