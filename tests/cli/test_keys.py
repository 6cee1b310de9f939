"""``keys``: create, list without secrets, revoke."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from appliance.errors import TenantDisabled, Unauthorized
from appliance.rfc3339 import rfc3339
from appliance.services import keys
from appliance.state.database import Database
from tests.cli.conftest import Run


def database(folder: Path) -> Database:
    return Database(folder / "data" / "appliance.db")


def test_create_prints_only_the_key_and_stores_only_its_hash(run: Run, tmp_path: Path) -> None:
    result = run("keys", "create", "laptop", "--data-dir", "data")
    key = result.stdout.removesuffix("\n")
    assert re.fullmatch(r"ak_[A-Za-z0-9_-]{43}", key)
    assert result.stderr == ""
    content = b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir())
    assert key.encode() not in content
    assert keys.authenticate(database(tmp_path), key).tenant_id == 1
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_tenant_is_created_with_its_first_key(run: Run, tmp_path: Path) -> None:
    api_keys = [
        run("keys", "create", name, "--tenant", tenant, "--data-dir", "data").stdout.strip()
        for name, tenant in (("a", "one"), ("b", "one"), ("c", "two"))
    ]
    assert len(set(api_keys)) == 3
    tenants = [keys.authenticate(database(tmp_path), key).tenant_id for key in api_keys]
    assert tenants[0] == tenants[1] != tenants[2]


def test_list_shows_everything_but_the_secrets(run: Run) -> None:
    key = run("keys", "create", "laptop", "--tenant", "lab", "--data-dir", "data").stdout.strip()
    run("keys", "create", "phone", "--data-dir", "data")
    run("keys", "revoke", "laptop", "--data-dir", "data")
    output = run("keys", "list", "--data-dir", "data").stdout
    assert key not in output
    laptop = next(line for line in output.splitlines() if "laptop" in line)
    phone = next(line for line in output.splitlines() if "phone" in line)
    assert "lab" in laptop
    assert len(re.findall(r"\d{4}-\d\d-\d\dT[\d:.]+Z", laptop)) == 2
    assert "read write" in laptop
    assert "default" in phone
    assert len(re.findall(r"\d{4}-\d\d-\d\dT[\d:.]+Z", phone)) == 1


def test_a_revoked_key_is_refused_and_its_name_is_free_again(run: Run, tmp_path: Path) -> None:
    old = run("keys", "create", "laptop", "--data-dir", "data").stdout.strip()
    assert "already" in run("keys", "create", "laptop", "--data-dir", "data", code=1).stderr
    run("keys", "revoke", "laptop", "--data-dir", "data")
    with pytest.raises(Unauthorized):
        keys.authenticate(database(tmp_path), old)
    assert "no live key" in run("keys", "revoke", "laptop", "--data-dir", "data", code=1).stderr
    new = run("keys", "create", "laptop", "--data-dir", "data").stdout.strip()
    assert keys.authenticate(database(tmp_path), new).tenant_id == 1


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "\x1b[31m"])
def test_a_name_that_would_garble_a_list_is_refused(run: Run, name: str) -> None:
    assert "name" in run("keys", "create", name, "--data-dir", "data", code=1).stderr
    assert "tenant" in run("keys", "create", "ok", "--tenant", name, "--data-dir", "data", code=1).stderr


def test_a_data_folder_that_cannot_be_made_is_reported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("keys", "create", "a", "--data-dir", "file/data", code=1)
    assert "cannot be made" in result.stderr
    assert result.stdout == ""


def test_scopes_and_an_expiry_are_chosen_and_shown(run: Run, tmp_path: Path) -> None:
    options = ("--scope", "metrics", "--scope", "read", "--expires-days", "0.5")
    key = run("keys", "create", "probe", *options, "--data-dir", "data").stdout.strip()
    row = keys.authenticate(database(tmp_path), key)
    assert row.scopes == ("read", "metrics")
    assert row.expires_at is not None
    assert row.expires_at - row.created_at == pytest.approx(43_200, abs=30)
    line = next(line for line in run("keys", "list", "--data-dir", "data").stdout.splitlines() if "probe" in line)
    assert "read metrics" in line
    assert rfc3339(row.expires_at) in line
    assert "all" in run("keys", "create", "b", "--scope", "all", "--data-dir", "data", code=2).stderr


def test_the_cli_revokes_the_last_administrator(run: Run) -> None:
    run("keys", "create", "boss", "--scope", "admin", "--data-dir", "data")
    run("keys", "revoke", "boss", "--data-dir", "data")


def test_tenants_are_created_listed_disabled_and_enabled(run: Run, tmp_path: Path) -> None:
    run("tenants", "create", "lab", "--data-dir", "data")
    assert "already" in run("tenants", "create", "lab", "--data-dir", "data", code=1).stderr
    key = run("keys", "create", "a", "--tenant", "lab", "--data-dir", "data").stdout.strip()
    run("tenants", "disable", "lab", "--data-dir", "data")
    assert len(re.findall(r"\d{4}-\d\d-\d\dT", run("tenants", "list", "--data-dir", "data").stdout)) == 2
    with pytest.raises(TenantDisabled):
        keys.authenticate(database(tmp_path), key)
    run("tenants", "enable", "lab", "--data-dir", "data")
    assert keys.authenticate(database(tmp_path), key).tenant == "lab"
    assert "no tenant" in run("tenants", "disable", "nobody", "--data-dir", "data", code=1).stderr
