"""Quotas and their use, as the operator sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cli import doctor
from appliance.config import Settings
from appliance.state.database import Database
from tests.cli.conftest import Run


def quota_lines(output: str) -> list[str]:
    return [line.removeprefix("ok   quotas ").strip() for line in output.splitlines() if "quotas " in line[:12]]


@pytest.fixture
def _two_tenants(run: Run) -> None:
    """Two tenants, of which the second one stores 900 bytes and has three files in work."""
    run("tenants", "create", "one", "--data-dir", "data")
    run("tenants", "create", "two", "--data-dir", "data")
    with Database(Path("data/appliance.db")).transaction() as tx:
        tx.change("UPDATE tenant_usage SET stored_bytes = 900, active_files = 3 WHERE tenant_id = 2")


@pytest.mark.usefixtures("_two_tenants")
def test_usage_shows_every_quota_of_every_tenant(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLIANCE_TENANT_STORED_BYTES", "1000")
    monkeypatch.setenv("APPLIANCE_TENANT_ACTIVE_FILES", "0")
    rows = [
        line.replace("│", " ").split() for line in run("tenants", "usage", "--data-dir", "data").stdout.splitlines()
    ]
    for row in (
        ["one", "tenant_stored_bytes", "0", "1000"],
        ["two", "tenant_stored_bytes", "900", "1000"],
        ["two", "tenant_active_files", "3", "no", "limit"],
    ):
        assert row in rows
    only = run("tenants", "usage", "two", "--data-dir", "data").stdout
    assert "two" in only
    assert "one" not in only
    assert "There is no tenant named" in run("tenants", "usage", "three", "--data-dir", "data", code=1).output


@pytest.mark.usefixtures("_two_tenants")
def test_doctor_shows_the_quotas_and_who_nearly_uses_one_up(
    run: Run, one_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_MODEL_STORE", str(one_model))
    monkeypatch.setenv("APPLIANCE_TENANT_STORED_BYTES", "1000")
    lines = quota_lines(run("doctor", "--data-dir", "data", "--port", "65000").stdout)
    assert lines[0].startswith("of each tenant: tenant_stored_bytes 1000, tenant_daily_audio_seconds no limit, ")
    assert lines[1:] == ["two uses 900 of 1000 (tenant_stored_bytes)"]


@pytest.mark.usefixtures("_two_tenants")
def test_the_check_of_quotas_works_on_a_database_of_an_older_release() -> None:
    with Database(Path("data/appliance.db")).transaction() as tx:
        tx.change("DROP TABLE tenant_usage")
    _, finding = doctor._quotas(Settings(data_dir=Path("data")))
    assert finding.result == "the next `up` brings the database up to date; then their use is shown"
    assert finding.fix is None
