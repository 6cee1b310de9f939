"""Runs commands in this process, with settings of their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.cli.__main__ import main
from tests.support.appliances import environment

Run = Callable[..., Result]


@pytest.fixture
def run(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``appliance ARGUMENT…`` in a new folder and checks the exit code."""
    for name in list(os.environ):
        if name.startswith("APPLIANCE_"):
            monkeypatch.delenv(name)
    for name, value in environment(model_store=models, default_model="loud-frames").items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: object, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="appliance")
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run_command
