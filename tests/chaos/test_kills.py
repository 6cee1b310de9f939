"""The short run of ``scripts/chaos``: 30 kills at random moments under load, and three steps of the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.clocks import why_no_clock
from tests.chaos.run import run

KILLS = 30


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_and_steps_of_the_clock_lose_nothing_and_double_nothing(tmp_path: Path, models: Path) -> None:
    assert why_no_clock() is None  # scripts/test installs a compiler
    result = run(tmp_path, models, seed=1, kills=KILLS, seconds=2400, mean_pause_seconds=1.0)
    print(result.table())
    assert result.audit.faultless, result.audit
    assert sum(count for name, count in result.faults.items() if name.startswith("kill ")) == KILLS
    assert result.faults["clock set by -1 day"]
    assert result.faults["clock set by +1 day"]
    assert "the clock was set" in (tmp_path / "logs" / "worker.log").read_text()
    assert result.audit.confirmed > KILLS
