"""Every command has help, and reports an error in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appliance import __version__
from appliance.cli.__main__ import COMMANDS
from tests.cli.conftest import Run
from tests.support.appliances import PATIENCE_SECONDS, ROOT, environment


def test_help_lists_every_command(run: Run) -> None:
    text = run("--help").stdout
    assert [line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line.strip()] == list(COMMANDS)
    assert run("--version").stdout == f"appliance, version {__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        *([name] for name in COMMANDS),
        *(["keys", name] for name in ("create", "list", "revoke")),
        *(["models", name] for name in ("list", "show", "add", "verify")),
    ],
)
def test_each_command_has_help(run: Run, command: list[str]) -> None:
    text = run(*command, "--help").stdout
    assert text.startswith(f"Usage: appliance {' '.join(command)} ")
    assert len(text.splitlines()) > 4


def test_an_unknown_command_or_option_is_refused(run: Run) -> None:
    assert "No such command" in run("dance", code=2).stderr
    assert "No such option" in run("up", "--prot", "80", code=2).stderr


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("PORT", "70000", "port"),
        ("LEASE_SECONDS", "0", "lease_seconds"),
        ("PROVIDER", "tpu", "provider"),
        ("STORAGE_SERVER", "ceph", "storage_server"),
        ("MAX_UPLOAD_BYTES", "many", "max_upload_bytes"),
    ],
)
def test_a_wrong_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str) -> None:
    monkeypatch.setenv(f"APPLIANCE_{name}", value)
    result = run("keys", "list", "--data-dir", "data", code=1)
    assert result.stderr.startswith("Error: Settings are wrong: ")
    assert field in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_misspelt_setting_in_the_file_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "appliance.toml").write_text("prot = 80\n")
    monkeypatch.setenv("APPLIANCE_CONFIG", str(tmp_path / "appliance.toml"))
    assert "prot" in run("keys", "list", "--data-dir", "data", code=1).stderr
    (tmp_path / "appliance.toml").write_text("port = \n")
    assert "cannot be read" in run("keys", "list", "--data-dir", "data", code=1).stderr


def test_up_on_an_address_of_another_machine_is_refused(run: Run) -> None:
    assert "192.0.2.1" in run("up", "--host", "192.0.2.1", "--port", "0", "--data-dir", "data", code=1).stderr


def test_cuda_that_does_not_load_is_refused_before_any_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.engine.models.runtime.why_no_cuda", lambda: "there is none")
    monkeypatch.setenv("APPLIANCE_PROVIDER", "cuda")
    (tmp_path / "a.wav").write_bytes(b"")
    assert "CUDA does not load: there is none" in run("detect", "a.wav", code=1).stderr


@pytest.mark.slow  # runs the storage server, the worker, the API and the front door
def test_demo_prints_detections_and_leaves_no_files(models: Path, tmp_path: Path) -> None:
    env = environment(model_store=models, default_model="loud-frames", storage_server="minio")
    env |= {"TMPDIR": str(tmp_path), "COLUMNS": "120"}
    command = [sys.executable, "-m", "appliance.cli", "demo"]
    result = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=3 * PATIENCE_SECONDS)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Detections in demo.flac" in result.stdout
    for step in ("start storage, worker, API and front door", "post the recording to storage", "stop everything"):
        assert step in result.stdout
    assert result.stdout.count("loud") >= 10
    assert list(tmp_path.iterdir()) == []  # neither the appliance's files nor a library's
