"""``doctor`` says what the appliance will do with what it stores."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {},
            "keeps originals until they are deleted, results until they are deleted, unused raw uploads for 2 days",
        ),
        (
            {"RETENTION_ORIGINALS_DAYS": "0.5", "RETENTION_RESULTS_DAYS": "30", "UNUSED_UPLOAD_DAYS": "7"},
            "keeps originals for 0.5 days, results for 30 days, unused raw uploads for 7 days",
        ),
    ],
)
def test_doctor_shows_the_retention(
    run: Run, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], line: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"APPLIANCE_{name}", value)
    lines = run("doctor", "--data-dir", "data", "--port", "65000").stdout.splitlines()
    assert f"ok   retention    {line}" in lines
