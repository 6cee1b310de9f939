"""A damaged database: nothing starts on it, and every command says what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.__main__ import main


@pytest.mark.parametrize(("command", "mark"), [("up", "Error: "), ("doctor", "restore it from a backup")])
def test_a_damaged_database_is_refused_with_advice(
    tmp_path: Path, one_model: Path, monkeypatch: pytest.MonkeyPatch, command: str, mark: str
) -> None:
    monkeypatch.setenv("APPLIANCE_CONFIG", os.devnull)
    monkeypatch.setenv("APPLIANCE_PROVIDER", "cpu")
    monkeypatch.setenv("APPLIANCE_MODEL_STORE", str(one_model))
    monkeypatch.setenv("APPLIANCE_DEFAULT_MODEL", "loud-frames")
    umask = os.umask(0o077)
    content = b"no database" * 1000
    (tmp_path / "appliance.db").write_bytes(content)
    try:
        result = CliRunner().invoke(main, [command, "--data-dir", str(tmp_path), "--port", "18999"])
    finally:
        os.umask(umask)
    assert result.exit_code == 1
    assert mark in result.output
    assert f"The database {tmp_path / 'appliance.db'} is damaged (file is not a database)" in result.output
    assert (tmp_path / "appliance.db").read_bytes() == content
