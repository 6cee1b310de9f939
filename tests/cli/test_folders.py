"""The appliance works in whatever folder it is started."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.appliances import PATIENCE_SECONDS, environment, make_models, wait_for


@pytest.mark.slow  # runs the whole appliance
def test_up_in_a_folder_with_other_modules_and_relative_paths(tmp_path: Path) -> None:
    """A module in that folder must not be imported, and relative paths in the settings start there."""
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json was imported')")
    (tmp_path / "settings.toml").write_text('default_model = "loud-frames"\n')
    make_models(tmp_path / "models")
    settings = environment(model_store="models", config="settings.toml", storage_server="minio")
    output = tmp_path / "up.log"
    with output.open("wb") as log:
        command = [sys.executable, "-P", "-m", "appliance.cli", "up", "--port", "0", "--data-dir", "data"]
        process = subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: "Ready at" in output.read_text() or process.poll() is not None)
        assert "Ready at" in output.read_text(), output.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
