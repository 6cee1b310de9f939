"""``detect --min-duration-ms`` with a label that is a point, as a click is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support import toy_models
from tests.support.toy_recordings import loud_wav


@pytest.mark.parametrize(
    ("options", "expected"),
    [([], 1), (["--min-duration-ms", 50], 1), (["--min-duration-ms", 51], 0), (["--min-duration-ms", 1000], 0)],
)
def test_a_point_counts_as_50_ms_long(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list, expected: int
) -> None:
    """One frame of 12 ms is loud."""
    store = tmp_path / "store"
    manifest = toy_models.frame_model(store) / "manifest.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('name = "loud"', 'name = "loud"\npoint = true'), encoding="utf-8")
    monkeypatch.setenv("APPLIANCE_MODEL_STORE", str(store))
    (tmp_path / "take.wav").write_bytes(loud_wav(40, [(10, 11)]))
    [result] = json.loads(run("detect", "take.wav", "--format", "json", *options).stdout)["files"]
    assert len(result["detections"]) == expected
