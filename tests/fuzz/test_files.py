"""The short run of ``scripts/fuzz``: damaged files end one by one, and nothing else dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.mutations import mutated, sources
from tests.fuzz.run import run
from tests.support.appliances import running_appliance

NUM_FILES = 150


@pytest.mark.slow
def test_every_damaged_file_ends_with_detections_or_a_sentence(tmp_path: Path, models: Path) -> None:
    with running_appliance(tmp_path, models, storage_server="minio") as appliance:
        result = run(appliance, seed=1, num_files=NUM_FILES, extra={"empty-head": bytes(100)})
    print(result.table())
    assert result.defects == []
    assert result.files == NUM_FILES + 1
    assert result.completed
    assert result.failed["corrupt_audio"]


def test_a_seed_gives_the_same_file_again() -> None:
    originals = sources()
    assert [mutated(originals, seed) for seed in range(50)] == [mutated(originals, seed) for seed in range(50)]
